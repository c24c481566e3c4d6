"""The REST API, after Kazoo's Crossbar: a pure application behind the protocol `Backend`.

Nothing here knows of actors. `callboard.actors.api_server` serves it, and alone imports it.
"""
