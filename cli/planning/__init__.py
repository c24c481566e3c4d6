"""`callboard plan`: how many machines a load takes, by measured costs (measured.toml)."""
