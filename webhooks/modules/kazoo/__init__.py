"""Kazoo's event modules, one file each; they are found by themselves."""
