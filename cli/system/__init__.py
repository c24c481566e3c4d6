"""Commands that run a system, attach to one, or show one: `start`, `status`, `tree`, `top` …

Offers `attached`, by which other commands reach a running system.
"""
