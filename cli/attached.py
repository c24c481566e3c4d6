"""What the commands that attach to a running system share."""

from collections.abc import Iterator
from contextlib import contextmanager

from callboard.actors.running.system import Client, SystemUnreachable, attach
from callboard.cli.output import Failure
from callboard.config.loader import Loaded


@contextmanager
def attached(loaded: Loaded) -> Iterator[Client]:
    """The running system; whatever keeps us from it, or it from answering, fails the command."""
    try:
        yield attach(loaded.settings)
    except SystemUnreachable as problem:
        raise Failure(str(problem)) from None
