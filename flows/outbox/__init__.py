"""The outbox relay: what the database holds for others goes out, at least once, oldest first per coil."""
