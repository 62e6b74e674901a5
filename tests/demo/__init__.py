"""The whole story of the demonstration, with a model that a test can afford."""
