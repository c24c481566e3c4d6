"""Hooks as they are stored, changed, and held in memory.

`HookListener` reads them from the store and follows their changes on the bus, `ZoneListener` those
of other zones, and `HookTable` holds them for the responders.
"""
