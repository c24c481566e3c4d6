"""Failed attempts, and the end of hooks that keep failing."""
