"""The REST API, after Kazoo's Crossbar: a pure application behind the protocol `Backend`.

Of the actors it knows their messages alone. `callboard.actors.api_server` serves it, and alone
imports it.
"""
