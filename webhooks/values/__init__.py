"""Plain values: documents, numbers, Kazoo's names and times, small containers."""
