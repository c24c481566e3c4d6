"""`callboard plan`: how many machines a load takes, by what was measured (measured.toml)."""
