"""Hooks as a file declares them, the difference to what is stored, and the file's text."""
