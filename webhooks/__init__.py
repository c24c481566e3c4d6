"""The domain: hooks, matching, payloads, requests, retries and disabling, all of it pure.

No actor, no socket, and no clock of its own: time comes in as an argument.
"""
