"""The paths of the API, one file a topic, each with a `router` for `callboard.web.app`."""
