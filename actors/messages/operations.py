"""Requests of maintenance and to the top supervisor, and the errors of requests to actors.

`ask`: the requester's number for its request.
"""

from typing import Any

from attrs import frozen

from callboard.admin import Cause, ConfiguredHook


class NoAnswer(Exception):
    """An actor is down, was restarted meanwhile, or did not respond; the text says which."""


class RefusedByActor(Exception):
    """An actor refused a request; the text is its reason. The others are as in `Refused`."""

    def __init__(self, reason: str, cause: Cause = "", setting: str = "") -> None:
        super().__init__(reason)
        self.cause, self.setting = cause, setting


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
    """To the top supervisor: forward this message to the actor at that path of the tree.

    That actor responds directly to the requester. The top responds with `Refused` while it is down.
    If it dies while handling the message, there is no response.
    """

    path: str
    message: Any


@frozen
class GetSettings:
    """To the top supervisor: get the settings of this system. -> `Settings`."""
