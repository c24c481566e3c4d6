"""Progress of long commands: on standard error, and only if that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

Step = Callable[[int], None]
"""Reports that this many more are done."""


@contextmanager
def counting(what: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Step]:
    """Show progress while the work runs, as a bar if its `total` is known.

    It disappears at the end. `quiet`: show nothing, as with --json.
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
