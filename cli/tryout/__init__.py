"""To try Callboard out: `callboard demo`, and `callboard listen`, which shows what arrives."""
