"""Keys in files, and what is encrypted or signed with them."""
