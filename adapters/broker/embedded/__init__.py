"""The broker of `memory://` URLs: exchanges and queues in one SQLite file, no server.

Offers `EmbeddedConnection`. Processes share the file, and know of one another by it.
"""
