"""`callboard start` that writes down each message its actors send, and what they ran until then.

    COUNTED_JOURNAL=FILE python counted_system.py start

A line for each message: the process, the classes of the actor and of the message, the message's
size pickled, and how many functions the actor has called so far. These are counted from its first
message after `count_calls`, and not those of its threads.
"""

import itertools
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen
from thespian.actors import Actor

JOURNAL = "COUNTED_JOURNAL"
COUNTING = ".counting"

_calls = itertools.count()
_send = Actor.send


def _profile(_frame, event, _arg):
    if event in ("call", "c_call"):
        next(_calls)


def _so_far() -> int:
    return int(repr(_calls).strip("count()"))


def _send_and_tell(self, target, message):
    sys.setprofile(None)
    size = len(pickle.dumps(message))
    line = f"{os.getpid()} {type(self).__name__} {type(message).__name__} {size} {_so_far()}\n"
    os.write(_journal, line.encode())
    if _counting.exists():
        sys.setprofile(_profile)
    _send(self, target, message)


@frozen
class Told:
    """A message that was sent; `calls`: of its sender, since that began to count them."""

    pid: int
    actor: str
    message: str
    size: int
    calls: int


class Journal:
    """What a counted system writes; it is told of the file by its environment."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read = 0
        file.touch()

    def count_calls(self) -> None:
        """From now on; a system that does so is slower, and maps memory more often."""
        self.file.with_suffix(COUNTING).touch()

    def news(self) -> list[Told]:
        """What was written since the last time."""
        with self.file.open() as journal:
            journal.seek(self._read)
            text = journal.read().rpartition("\n")[0]
        self._read += len(text) + 1 if text else 0
        return list(_told(text))


def _told(text: str) -> Iterator[Told]:
    for line in text.splitlines():
        pid, actor, message, size, calls = line.split(" ")
        yield Told(int(pid), actor, message, int(size), int(calls))


if __name__ == "__main__":
    from callboard.run_system import main

    _file = Path(os.environ[JOURNAL])
    _counting = _file.with_suffix(COUNTING)
    _journal = os.open(_file, os.O_WRONLY | os.O_APPEND)
    Actor.send = _send_and_tell
    sys.exit(main())
