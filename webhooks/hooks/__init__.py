"""Hooks: their documents, options and secrets, and which of them an event fires."""
