"""Hook documents as clients write and see them, and the samples of events."""
