"""MQTT, as the plant speaks it."""
