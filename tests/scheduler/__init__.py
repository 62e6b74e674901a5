"""Promises of the scheduler room."""
