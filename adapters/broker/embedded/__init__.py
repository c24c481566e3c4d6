"""The broker of `memory://` URLs, in a SQLite file."""
