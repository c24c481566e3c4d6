"""Commands to try Callboard out: the demo, and a receiver that shows what arrives."""
