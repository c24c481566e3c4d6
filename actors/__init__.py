"""Callboard's actors: each translates messages into calls of the domain and of adapters.

Each room is a folder; `system.tree` puts the actors of all of them into one tree. Import from the
files: the rooms export nothing themselves, since each actor is a process that loads only what it
needs. Only `messages` has a face, since every actor speaks to others.
"""
