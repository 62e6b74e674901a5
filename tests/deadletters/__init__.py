"""Dead letters: listed, shown and sent through again."""
