"""Experiments: specification, plan, runs, comparison, report."""
