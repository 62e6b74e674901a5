"""Tests of the sources and of the way from a source to verdicts."""
