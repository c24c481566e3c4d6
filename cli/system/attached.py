"""What the commands that attach to a running system share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs

from callboard.actors.system.actor_system import Client, Owner, SystemUnreachable, attach, owner_of
from callboard.admin import AdminAnswer, AdminRequest
from callboard.cli.terminal.output import Failure
from callboard.config.loader import Loaded

PATIENCE_S = 60.0
"""How long a page may take."""

Answer = TypeVar("Answer", bound=AdminAnswer)


def owner(loaded: Loaded) -> Owner | None:
    """Who runs the system; None if nobody does. Not being allowed to know fails the command."""
    try:
        return owner_of(loaded.settings)
    except SystemUnreachable as problem:
        raise Failure(str(problem)) from None


@contextmanager
def attached(loaded: Loaded) -> Iterator[Client]:
    """The running system; whatever keeps us from it, or it from answering, fails the command."""
    try:
        yield attach(loaded.settings)
    except SystemUnreachable as problem:
        raise Failure(str(problem)) from None


def pages(client: Client, path: str, request: Any, kind: type[Answer]) -> Iterator[Answer]:
    """All pages of an answer, one after the other, of the actor at that path of the tree."""
    number, more = 0, request.after
    while more is not None:
        numbered = attrs.evolve(request, after=more, ref=str(number))
        page: Any = ask(client, path, numbered, kind)
        yield page
        number, more = number + 1, page.more


def ask(client: Client, path: str, request: AdminRequest, kind: type[Answer]) -> Answer:
    """The answer to this request; one to an earlier request that was repeated is passed over."""
    answer: Answer = client.ask_actor(path, request, kind, PATIENCE_S)
    while answer.ref != request.ref:
        answer = client.hear((kind,), PATIENCE_S)
    return answer
