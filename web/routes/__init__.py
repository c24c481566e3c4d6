"""The paths of the API: one file for each topic, with a `router` for `callboard.web.app`."""
