"""Tests of the REST application, on real servers."""
