"""Progress of long work, for whoever watches: on standard error, and only if that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

Step = Callable[[int], None]
"""So many more are done."""


@contextmanager
def counting(what: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Step]:
    """Show how much of a work is done while it is: a bar where its `total` is known.

    It is gone when the work is done. `quiet`: show nothing, as with --json.
    """
    # Not the console's word for it, which FORCE_COLOR changes.
    if quiet or not sys.stderr.isatty():
        yield lambda _count: None
        return
    console = Console(stderr=True)
    columns = [SpinnerColumn(), TextColumn("{task.description}")]
    counted = [BarColumn(), MofNCompleteColumn()] if total else [TextColumn("{task.completed:.0f}")]
    with Progress(*columns, *counted, Elapsed(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
