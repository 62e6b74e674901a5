"""Tests of the MQTT bridge, on a real broker."""
