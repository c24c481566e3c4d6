"""Kazoo's event modules, one file each; `discovery` finds them here.

Each file has a `MODULE` with the id of its file's name. `skel` is the example to copy, and is never
loaded.
"""
