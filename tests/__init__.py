"""Tests: each name says the promise it keeps."""
