"""Promises of explanations and of similar coils."""
