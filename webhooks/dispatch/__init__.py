"""Dispatch: which delivery is sent next, fairly across endpoints and hooks."""
