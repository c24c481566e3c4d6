"""Hooks: their documents, options and secrets, and which of them an event fires.

In: documents as the store has them. Offers `Hook` and `parse_hook`, `Options`, `HookIndex` and
`HookMap` for very many hooks, `FailureWindow` for those that fail too often, the hooks' JSON
schema, and the arguments of maintenance commands.
"""
