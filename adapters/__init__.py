"""The outside world behind small protocols: broker, document store, HTTP, actor ports."""
