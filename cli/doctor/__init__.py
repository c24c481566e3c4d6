"""`callboard doctor`: what is there to be mended?"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import attrs
import click

from callboard.cli.doctor import (
    broker,
    configuration,
    files,
    installation,
    machine,
    store,
    system,
)
from callboard.cli.doctor.finding import Check, Finding, Result, findings, problem
from callboard.cli.options import as_json, with_settings
from callboard.cli.output import DONE, FAILED, counted, escaped, print_json, say
from callboard.config.loader import ConfigError, Loaded
from callboard.config.settings import Settings

COLOURS = {Result.OK: "green", Result.WARNING: "yellow", Result.PROBLEM: "bold red"}

ALWAYS = (
    Check("python", lambda: [installation.python()]),
    Check("libraries", installation.libraries),
    Check("locale", lambda: [machine.texts()]),
)
Look = Callable[[Settings], Finding | Iterable[Finding]]
OF_SETTINGS: tuple[tuple[str, Look], ...] = (
    ("event modules", configuration.modules),
    ("delivery", configuration.delivery),
    ("data directory", files.data_directory),
    ("actors' key", files.actors_key),
    ("secrets' key", files.secrets_key),
    ("open files", machine.limits),
    ("hostname", machine.hostname),
    ("ports", machine.ports),
    ("broker", broker.broker),
    ("store", store.store),
    ("system", system.running_system),
)


@click.command()
@as_json
@with_settings(lazy=True)
def doctor(configured: Callable[[], Loaded], json_: bool) -> None:
    """Look for what keeps Callboard from working, and say what to do about it.

    Changes nothing, and can be run before the first start as well as beside a running system.
    Exit code 1 if there is a problem.
    """
    found = []
    for finding in findings(_checks(configured)):
        found.append(finding)
        if not json_:
            _print(finding)
    problems = [finding for finding in found if finding.result is Result.PROBLEM]
    if json_:
        print_json([attrs.asdict(finding) for finding in found])
    else:
        warnings = sum(finding.result is Result.WARNING for finding in found)
        problem_count = counted(len(problems), "problem")
        say(f"{len(found)} checked: {problem_count}, {counted(warnings, 'warning')}")
    raise SystemExit(FAILED if problems else DONE)


def _checks(configured: Callable[[], Loaded]) -> tuple[Check, ...]:
    """All checks; without a configuration, those that need none."""
    try:
        loaded = configured()
    except ConfigError as error:
        wrong = problem("configuration", str(error), "mend it: config/default.toml has every key")
        return (*ALWAYS, Check("configuration", lambda: [wrong]))
    file = Check("configuration", lambda: [configuration.file(loaded)])
    rest = (Check(name, partial(_all, look, loaded.settings)) for name, look in OF_SETTINGS)
    return (*ALWAYS, file, *rest)


def _all(look: Look, settings: Settings) -> Iterator[Finding]:
    found = look(settings)
    if isinstance(found, Finding):
        yield found
    else:
        yield from found


def _print(finding: Finding) -> None:
    colour = COLOURS[finding.result]
    say(f"[{colour}]{finding.result:8}[/] [bold]{finding.name:15}[/] {escaped(finding.what)}")
    if finding.mend:
        say(f"{'':24} [bold]to do:[/] {escaped(finding.mend)}")
