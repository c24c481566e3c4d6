"""`callboard doctor`: finds problems of an installation."""

from collections.abc import Callable

import attrs
import click

from callboard.cli.doctor.finding import Finding, Result, findings
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import DONE, FAILED, counted, escaped, print_json, say
from callboard.config.loader import Loaded

COLOURS = {Result.OK: "green", Result.WARNING: "yellow", Result.PROBLEM: "bold red"}


@click.command()
@as_json
@with_settings(lazy=True)
def doctor(configured: Callable[[], Loaded], json_: bool) -> None:
    """Find problems that prevent Callboard from working, and print how to fix them.

    It changes nothing. Run it before the first start or while the system runs. Exit code 1 if
    there is a problem.
    """
    # Not imported for every command: the checks need much of what there is.
    from callboard.cli.doctor.checks import checks

    found = []
    for finding in findings(checks(configured)):
        found.append(finding)
        if not json_:
            _print(finding)
    problems = sum(finding.result is Result.PROBLEM for finding in found)
    if json_:
        print_json([attrs.asdict(finding) for finding in found])
    else:
        warnings = sum(finding.result is Result.WARNING for finding in found)
        say(f"{len(found)} checked: {counted(problems, 'problem')}, {counted(warnings, 'warning')}")
    raise SystemExit(FAILED if problems else DONE)


def _print(finding: Finding) -> None:
    colour = COLOURS[finding.result]
    say(f"[{colour}]{finding.result:8}[/] [bold]{finding.name:15}[/] {escaped(finding.what)}")
    if finding.mend:
        say(f"{'':24} [bold]to do:[/] {escaped(finding.mend)}")
