"""Input and output of commands: options, tables, JSON, progress, shell completion.

Offers what all commands share, and `callboard completion`.
"""
