"""Tests of the Kafka host, against a real broker."""
