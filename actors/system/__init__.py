"""The supervision tree, and the actor system that it runs in."""
