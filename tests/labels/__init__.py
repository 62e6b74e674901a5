"""Feedback, labels and review sampling: from a word to a label, on real servers."""
