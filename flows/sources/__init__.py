"""Everything that coilflow can read coils from."""
