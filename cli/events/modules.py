"""`callboard modules`."""

import json
import re
from pathlib import Path

import click

from callboard.actors.base.event_modules import event_modules
from callboard.cli.events.removing import remove
from callboard.cli.events.skeleton import project
from callboard.cli.terminal.options import as_json, with_settings
from callboard.cli.terminal.output import (
    DONE,
    FAILED,
    Failure,
    WrongUsage,
    escaped,
    plain,
    print_json,
    print_table,
    say,
)
from callboard.config.loader import Loaded
from callboard.webhooks.hooks.hook import ALL
from callboard.webhooks.modules.discovery import EXAMPLE
from callboard.webhooks.modules.protocol import EventModule

SHOWN_BINDINGS = 4

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@click.group()
def modules() -> None:
    """List the event modules, create your own, or remove one."""


modules.add_command(remove)


@modules.command("list")
@as_json
@with_settings()
def list_(loaded: Loaded, json_: bool) -> None:
    """List the modules that a system would load. Exit code 1 if some cannot be loaded."""
    found = event_modules(loaded.settings)
    if json_:
        print_json(
            {
                "modules": [
                    {
                        "id": module.id,
                        "name": module.name,
                        "description": module.description,
                        "source": found.sources[module.id],
                        "events": module.events,
                        "bindings": [
                            {"exchange": exchange, "routing_key": key}
                            for exchange, key in module.bindings
                        ],
                    }
                    for module in found.modules
                ],
                "problems": [
                    {"module": p.module, "source": p.source, "reason": p.reason}
                    for p in found.problems
                ],
            }
        )
    else:
        print_table(
            ("module", "name", "source", "events", "bindings"),
            (
                (m.id, m.name, found.sources[m.id], len(m.events), _bindings(m))
                for m in found.modules
            ),
            optional=("source", "name", "events"),
        )
        for problem in found.problems:
            told = escaped(f"{problem.module} ({problem.source}): {problem.reason}")
            say(f"[bold red]not loaded:[/] {told}")
    raise SystemExit(FAILED if found.problems else DONE)


@modules.command()
@click.argument("module_id", metavar="MODULE")
@as_json
@with_settings()
def show(loaded: Loaded, module_id: str, json_: bool) -> None:
    """Show an event module with the JSON schema and a sample of its payload."""
    found = {module.id: module for module in event_modules(loaded.settings).modules}
    module = found.get(module_id.lower())
    if module is None:
        raise WrongUsage(f"there is no module {module_id!r}: see `callboard modules list`")
    schema, samples = dict(getattr(module, "schema", {})), list(getattr(module, "samples", ()))
    shown = {
        "id": module.id,
        "name": module.name,
        "description": module.description,
        "events": module.events,
        "bindings": [{"exchange": e, "routing_key": key} for e, key in module.bindings],
        "schema": schema,
        "samples": samples,
    }
    if json_:
        print_json(shown)
        return
    for name in ("id", "name", "description"):
        say(f"[bold]{name}[/] {escaped(str(shown[name]))}")
    say(f"[bold]bindings[/] {escaped(', '.join(f'{e} {key}' for e, key in module.bindings))}")
    for name, value in (("schema", schema), ("sample", samples[0] if samples else {})):
        say(f"[bold]{name}[/]{'' if value else ' none'}")
        if value:
            plain(json.dumps(value, indent=2, ensure_ascii=False))


def _bindings(module: EventModule) -> tuple[str, ...]:
    lines = [f"{exchange} {key}" for exchange, key in module.bindings]
    more = len(lines) - SHOWN_BINDINGS
    return (*lines[:SHOWN_BINDINGS], *([f"and {more} more"] if more > 0 else []))


@modules.command()
@click.argument("name")
@click.option(
    "--into",
    default=".",
    show_default="this folder",
    type=click.Path(path_type=Path),
    help="Parent directory of the new project.",
)
@with_settings()
def new(loaded: Loaded, name: str, into: Path) -> None:
    """Create a module NAME: a directory NAME with a small package, its test and its entry point."""
    _check_name(loaded, name)
    folder = into / name
    if not into.is_dir():
        raise WrongUsage(f"there is no directory {into}: create it, or name another with --into")
    if folder.exists():
        raise Failure(
            f"{folder} already exists: choose another name, or another directory (--into)"
        )
    files = project(name)
    try:
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise Failure(f"{problem.filename} cannot be written: {problem.strerror}") from None
    place = escaped(str(folder.resolve()))
    say(
        f"created {escaped(str(folder))} with {', '.join(files)}\n"
        "next:\n"
        f"  1. in callboard_{name}.py, define its exchanges, bindings, account and payload\n"
        f"  2. python -m pytest {place}\n"
        f"  3. python -m pip install {place}   (into Callboard's environment)\n"
        "  4. callboard modules list, and restart Callboard"
    )


def _check_name(loaded: Loaded, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise WrongUsage(
            f"{name!r} is no valid module name: use 1 to 64 lower-case letters, digits and _, "
            "starting with a letter"
        )
    taken = {module.id for module in event_modules(loaded.settings).modules}
    if name in taken | {ALL, EXAMPLE}:
        raise WrongUsage(f"the name {name!r} is taken: see `callboard modules list`")
