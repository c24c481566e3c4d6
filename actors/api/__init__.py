"""The server of the REST API: a thread in an actor, which asks the others on its behalf.

`ApiServer` is the actor. The web's libraries are imported in its thread and nowhere else.
"""
