"""The REST API, after Kazoo's Crossbar: a pure application behind the protocol `Backend`.

Of the actors it knows their messages alone. `callboard.actors.api.server` serves it, and alone
imports it.
"""
