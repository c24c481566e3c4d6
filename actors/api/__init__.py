"""The server of the REST API, in a thread of an actor."""
