"""The outbox relay, with a real PostgreSQL and real destinations."""
