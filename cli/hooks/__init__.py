"""`callboard hooks`: added, edited, listed and removed, with their secrets."""
