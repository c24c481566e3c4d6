"""Webhooks over HTTP: by threads or by libcurl, with the same rules."""
