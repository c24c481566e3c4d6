"""From the bus to the hooks: the bridge and the responders.

`EventBridge` receives events from the broker and acknowledges them when they are settled. A
`Responder` finds the hooks that an event of its module fires, and creates their deliveries.
"""
