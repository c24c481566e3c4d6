"""Requests of maintenance and to the top supervisor; what becomes of a question to an actor.

`ask` is the asker's number for its question.
"""

from typing import Any

from attrs import frozen

from callboard.admin import ConfiguredHook


class NoAnswer(Exception):
    """An actor is down, was restarted over the question, or is silent; the text says which."""


class RefusedByActor(Exception):
    """An actor said no; the text is its reason."""


@frozen
class ListTable:
    """Maintenance to HookTable: the hooks behind `after`, by account and id. -> `TableListed`."""

    ask: int
    account_id: str | None
    after: tuple[str, str] | None
    limit: int


@frozen
class TableListed:
    """HookTable to Maintenance: one page of the hooks in memory; `more`: there are others."""

    ask: int
    hooks: tuple[ConfiguredHook, ...]
    more: bool


@frozen
class Ask:
    """To the top supervisor: hand this message to the actor at that path of the tree.

    That actor answers the asker directly, as if it had been sent the message itself. `Refused`
    while it is down. As with any message, no answer comes from an actor that dies over it.
    """

    path: str
    message: Any


@frozen
class GetSettings:
    """To the top supervisor: how is this system set? Answered with the `Settings`."""
