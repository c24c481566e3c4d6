"""The REST API, modelled on Kazoo's Crossbar: an application that uses the protocol `Backend`.

It imports only the messages of the actors. Only `callboard.actors.api` imports and serves it.
"""
