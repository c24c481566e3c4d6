"""Commands for events and their modules."""
