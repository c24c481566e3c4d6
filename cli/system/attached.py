"""Functions shared by the commands that attach to a running system."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from callboard.actors.system.actor_system import Client, SystemUnreachable, attach, owner_of
from callboard.actors.system.data_lock import Owner
from callboard.cli.terminal.output import Failure
from callboard.config.loader import Loaded

if TYPE_CHECKING:  # its many classes take longer than most commands
    from callboard.admin import AdminAnswer, AdminRequest

PATIENCE_S = 60.0
"""Time limit for one page."""

Answer = TypeVar("Answer", bound="AdminAnswer")


def owner(loaded: Loaded) -> Owner | None:
    """The process that runs the system, or None. Fails the command if access is denied."""
    try:
        return owner_of(loaded.settings)
    except SystemUnreachable as problem:
        raise Failure(str(problem)) from None


@contextmanager
def attached(loaded: Loaded) -> Iterator[Client]:
    """The running system. Fails the command if it cannot be reached or does not respond."""
    try:
        yield attach(loaded.settings)
    except SystemUnreachable as problem:
        raise Failure(str(problem)) from None


def pages(client: Client, path: str, request: Any, kind: type[Answer]) -> Iterator[Answer]:
    """All pages of a response from the actor at this path, one after the other."""
    number, more = 0, request.after
    while more is not None:
        numbered = attrs.evolve(request, after=more, ref=str(number))
        page: Any = ask(client, path, numbered, kind)
        yield page
        number, more = number + 1, page.more


def ask(client: Client, path: str, request: "AdminRequest", kind: type[Answer]) -> Answer:
    """The response to this request; responses to repeated earlier requests are skipped."""
    answer: Answer = client.ask_actor(path, request, kind, PATIENCE_S)
    while answer.ref != request.ref:
        answer = client.hear((kind,), PATIENCE_S)
    return answer
