"""The supervision tree, and the actor system that it runs in.

Offers `WebhooksSupervisor`, the top of the tree; the ways to run it: in the foreground (`owner`),
on a machine that joins a node (`member`), and in a host's actor system (`embedded`); and `Client`,
with which commands reach a running system.
"""
