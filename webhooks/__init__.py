"""The domain: hooks, matching, payloads, requests, retries and disabling, all of it pure.

Time, chance and look-ups come in as arguments. Nothing here knows of sockets, files or actors, and
`make lint` refuses an import that would change that. Each room is a folder; import from its files:
the rooms export nothing themselves, so that each actor's process loads only what it needs. Only
`modules` has a face, for the modules of others. `event`, `directory`, `module` and `selection` are
former names, for modules that import them.
"""
