"""Promises of the registry: what serves, and who changed it."""
