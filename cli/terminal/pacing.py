"""Sends many ids in batches at a limited rate, and shows progress."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from callboard.cli.terminal.output import escaped, say

SHOWN = 10
"""Up to this many reasons are printed one by one."""

Reasons = Sequence[tuple[str, str]]


def paced(
    ids: Sequence[str],
    rate: float,
    send: Callable[[tuple[str, ...]], tuple[Sequence[str], Reasons]],
    doing: str,
    most: int,
) -> tuple[list[str], list[tuple[str, str]]]:
    """Send all ids, `rate` per second and `most` at once; returns accepted and refused ids.

    `send` takes some ids and returns the same for these. If interrupted, returns those done.
    """
    taken: list[str] = []
    refused: list[tuple[str, str]] = []
    size = max(1, min(most, int(rate / 2)))
    began = time.monotonic()
    with _progress() as progress:
        task = progress.add_task(doing, total=len(ids))
        for some in _chunks(ids, size):
            done = len(taken) + len(refused)
            time.sleep(max(0.0, began + done / rate - time.monotonic()))
            more, not_taken = send(some)
            taken += more
            refused += not_taken
            progress.update(task, completed=done + len(some))
    return taken, refused


def _chunks(ids: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(ids), size):
        yield tuple(ids[first : first + size])


def _progress() -> Progress:
    """Progress on standard error, which keeps the output clean."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def say_why(refused: Iterable[tuple[str, str]]) -> None:
    """Print why ids were refused: one by one, or if there are many, by reason."""
    refused = list(refused)
    if len(refused) <= SHOWN:
        for id, reason in refused:
            say(f"  [yellow]{escaped(id)}[/]: {escaped(reason)}")
    else:
        for reason, count in Counter(reason for _id, reason in refused).most_common(SHOWN):
            say(f"  [yellow]{count}[/]: {escaped(reason)}")
