"""How the steps are wired, and the hosts that run them."""
