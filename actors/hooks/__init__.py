"""Hooks as they are stored, changed, and held in memory.

`HookListener` reads them from the store and follows their changes on the bus, `ZoneListener` those
of other zones, and `HookTable` holds them for the responders. The listener's parts load, parse,
change and edit hooks, and keep their secrets.
"""
