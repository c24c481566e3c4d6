"""What the actors are made of: their common base, and pieces of the larger ones."""
