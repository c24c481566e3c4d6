"""`callboard hooks`."""
