"""The event modules, one file each; they are found by themselves.

A file of this folder, or an entry point of the group `callboard.modules` (in any installed
package) that names a `MODULE`. One that cannot be loaded is reported, and skips nobody else.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from attrs import frozen

from callboard.webhooks.hook import matched_event
from callboard.webhooks.module import EventModule

GROUP = "callboard.modules"
EXAMPLE = "skel"


@frozen
class ModuleProblem:
    """A module that cannot be used, and why."""

    module: str
    reason: str


@frozen
class Discovery:
    """The modules that can be used, by id, and those that cannot."""

    modules: tuple[EventModule, ...]
    problems: tuple[ModuleProblem, ...]


@cache
def discover() -> Discovery:
    """All event modules of this installation."""
    names = [info.name for info in pkgutil.iter_modules(__path__)]
    sources = [(name, f"{__name__}.{name}") for name in names if name != EXAMPLE]
    sources += [(entry.name, entry.value) for entry in entry_points(group=GROUP)]
    return load(sources)


def load(sources: list[tuple[str, str]]) -> Discovery:
    """Load (name, `package.module[:attribute]`) pairs; the attribute is `MODULE` by default."""
    modules: dict[str, EventModule] = {}
    problems = []
    for name, target in sources:
        try:
            module = _checked(target)
            if module.id in modules:
                raise ValueError(f"the id {module.id!r} is taken by another module")
        except Exception as problem:  # noqa: BLE001 - importing may run anybody's code
            problems.append(ModuleProblem(name, f"{type(problem).__name__}: {problem}"))
        else:
            modules[module.id] = module
    return Discovery(tuple(modules[id] for id in sorted(modules)), tuple(problems))


def _checked(target: str) -> EventModule:
    path, _colon, attribute = target.partition(":")
    module: Any = getattr(importlib.import_module(path), attribute or "MODULE")
    wanted = ("id", "name", "description", "modifiers", "events", "exchanges", "bindings")
    missing = [n for n in (*wanted, "responds_to", "firing") if not hasattr(module, n)]
    if missing:
        raise TypeError(f"{target} lacks {', '.join(missing)}: see {__name__}.{EXAMPLE}")
    for event in module.events:
        if event != matched_event(event):
            raise ValueError(
                f"no hook matches the event {event!r}: call it {matched_event(event)!r}"
            )
    return module  # type: ignore[no-any-return]
