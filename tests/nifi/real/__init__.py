"""Our processors and flows in a real NiFi: `make test-nifi`."""
