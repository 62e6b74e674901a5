"""Who may do what on the console."""
