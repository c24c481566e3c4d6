"""Commands that run a system, attach to one, or show one."""
