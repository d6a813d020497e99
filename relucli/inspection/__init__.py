"""What a file is, what is in it, and what to do with it next."""
