"""Callboard's actors, one role a file; `webhooks_supervisor` is the tree."""
