"""Commands for dead letters, replays, maintenance and tokens."""
