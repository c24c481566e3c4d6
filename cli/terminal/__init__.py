"""Input and output of commands: options, tables, progress, shell completion."""
