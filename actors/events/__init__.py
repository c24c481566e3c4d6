"""From the bus to the hooks: the bridge and the responders."""
