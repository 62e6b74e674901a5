"""NiFi: its processors without it, and with it where there is one."""
