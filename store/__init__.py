"""PostgreSQL: one function per business step, one transaction each."""
