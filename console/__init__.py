"""How people reach coilflow: the command line."""
