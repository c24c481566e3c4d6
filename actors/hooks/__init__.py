"""Hooks as they are stored, changed and held in memory."""
