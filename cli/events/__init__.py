"""`callboard publish` and `callboard modules`."""
