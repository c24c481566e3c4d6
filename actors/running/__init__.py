"""The actor system that the tree runs in: who owns it, how it is reached, how it is embedded."""
