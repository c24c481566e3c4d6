"""Hooks in the store and in memory, and their changes.

`HookListener` loads hooks from the store and follows their changes on the bus, `ZoneListener`
follows the changes of other zones, and `HookTable` holds the hooks for the responders. The other
files are the parts of the listener.
"""
