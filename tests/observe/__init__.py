"""What services show, and what is made of it."""
