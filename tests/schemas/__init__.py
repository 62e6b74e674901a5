"""Tests of what crosses a wire or lands on a disk."""
