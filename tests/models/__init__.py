"""Promises of the models room."""
