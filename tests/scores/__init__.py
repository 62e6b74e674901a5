"""Scores and drift checks on a real PostgreSQL."""
