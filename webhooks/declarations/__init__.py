"""Hooks as a file declares them, the difference to the stored ones, and the file's text."""
