"""The flows that a NiFi runs, told in Python; `python -m flows.nifi.definitions_of` writes them for NiFi."""
