"""Promises of the hot swap: nothing lost, doubled or mixed, and nothing broken serves."""
