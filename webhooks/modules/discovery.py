"""Finds the event modules.

A module is a file of `kazoo/`, an entry point of the group `callboard.modules` (in any installed
package) that names a `MODULE`, or defined by the configuration. An unusable module is reported and
does not affect the others.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib.metadata import entry_points
from typing import Any

from attrs import Factory, frozen

from callboard.webhooks.hooks.hook import ALL, matched_event
from callboard.webhooks.modules import kazoo
from callboard.webhooks.modules.payload_schema import InvalidSchema
from callboard.webhooks.modules.protocol import (
    BRIDGE_EXCHANGES,
    EventExchange,
    EventModule,
)

GROUP = "callboard.modules"
EVERY = "*"
"""Stands for all of Kazoo's modules."""
NOT_KAZOOS = "kazoo.modules names it, but there is no such module for Kazoo"
EXAMPLE = "skel"

FILE, ENTRY_POINT, CONFIGURATION = "file", "entry point", "configuration"
"""The sources of modules."""

ID = re.compile(r"[a-z0-9][a-z0-9_.-]*")
"""The form of an id: it is part of documents' names and of paths in the supervision tree."""


class Unfit(Exception):
    """An object that cannot serve as a module; the text gives the reason."""


@frozen
class ModuleProblem:
    """A module that cannot be used, and the reason."""

    module: str
    reason: str
    source: str = FILE


@frozen
class Discovery:
    """The usable modules by id, with the source of each, and the unusable ones."""

    modules: tuple[EventModule, ...]
    problems: tuple[ModuleProblem, ...]
    sources: Mapping[str, str] = Factory(dict)

    @property
    def known_events(self) -> frozenset[str]:
        """What hooks may name: the modules' ids and events."""
        return frozenset(e for m in self.modules for e in (m.id, *m.events))

    @property
    def usual_events(self) -> frozenset[str]:
        """Those of modules other than Kazoo's, whose hooks have the defaults usual elsewhere.

        If none of Kazoo's modules runs, `all` is one of them.
        """
        own = [m for m in self.modules if self.sources.get(m.id) != FILE]
        rest = {ALL} if len(own) == len(self.modules) else set()
        return frozenset(e for m in own for e in (m.id, *m.events)) | rest


@frozen
class Candidate:
    """A module that was found, or None with the reason why it cannot be used."""

    source: str
    name: str
    module: EventModule | None
    reason: str = ""


def discover(tables: Iterable[EventModule] = (), kazoo: Iterable[str] = (EVERY,)) -> Discovery:
    """All event modules of this installation, and those defined by the configuration.

    `kazoo`: the names of Kazoo's modules that run, or `EVERY`. Installed modules are searched for
    once in a process.
    """
    wanted = frozenset(kazoo)
    known = _kazoos()
    files = [_kazoos_module(name) for name in known if EVERY in wanted or name in wanted]
    unknown = wanted.difference(known, {EVERY})
    missing = [Candidate(FILE, name, None, NOT_KAZOOS) for name in sorted(unknown)]
    made = [candidate(CONFIGURATION, table.id, partial(_itself, table)) for table in tables]
    found = [*files, *_entry_points(), *missing, *made]
    return admit(found, BRIDGE_EXCHANGES if wanted else ())


@cache
def _kazoos() -> tuple[str, ...]:
    """The names of Kazoo's modules, of which only those that run are imported."""
    names = (info.name for info in pkgutil.iter_modules(kazoo.__path__))
    return tuple(name for name in names if name != EXAMPLE)


@cache
def _kazoos_module(name: str) -> Candidate:
    return candidate(FILE, name, partial(_imported, f"{kazoo.__name__}.{name}"))


@cache
def _entry_points() -> tuple[Candidate, ...]:
    return tuple(
        candidate(ENTRY_POINT, entry.name, partial(_imported, entry.value))
        for entry in entry_points(group=GROUP)
    )


def admit(
    candidates: Iterable[Candidate], declared: Iterable[EventExchange] = BRIDGE_EXCHANGES
) -> Discovery:
    """Accept candidates in their order; one in conflict with an earlier one becomes a problem.

    `declared`: the exchanges besides the modules'.
    """
    modules: dict[str, EventModule] = {}
    sources: dict[str, str] = {}
    exchanges = {exchange.name: exchange for exchange in declared}
    problems = []
    for one in candidates:
        module, reason = one.module, one.reason
        if module is not None:
            reason = _conflict(module, modules, exchanges)
        if module is None or reason:
            problems.append(ModuleProblem(one.name, reason, one.source))
            continue
        modules[module.id] = module
        sources[module.id] = one.source
        exchanges |= {exchange.name: exchange for exchange in module.exchanges}
    return Discovery(tuple(modules[id] for id in sorted(modules)), tuple(problems), sources)


def candidate(source: str, name: str, make: Callable[[], Any]) -> Candidate:
    """The result of `make`, if it is a valid module by itself."""
    try:
        return Candidate(source, name, _checked(make()))
    except Unfit as problem:
        return Candidate(source, name, None, str(problem))
    except Exception as problem:  # noqa: BLE001 - importing may run anybody's code
        return Candidate(source, name, None, f"{type(problem).__name__}: {problem}")


def _itself(module: EventModule) -> EventModule:
    check = getattr(module, "check", None)
    if check is not None:
        try:
            check()
        except InvalidSchema as problem:
            raise Unfit(str(problem)) from None
    return module


def _imported(target: str) -> object:
    """The object of `package.module[:attribute]`; the attribute is `MODULE` by default."""
    path, _colon, attribute = target.partition(":")
    return getattr(importlib.import_module(path), attribute or "MODULE")


def _checked(module: Any) -> EventModule:
    wanted = ("id", "name", "description", "events", "exchanges", "bindings")
    methods = ("modifiers", "responds_to", "firing")
    missing = [attribute for attribute in (*wanted, *methods) if not hasattr(module, attribute)]
    if missing:
        raise Unfit(f"MODULE lacks {', '.join(missing)}: see {kazoo.__name__}.{EXAMPLE}")
    if not ID.fullmatch(module.id) or module.id == ALL:
        raise Unfit(
            f"{module.id!r} is no id: take lower-case letters, digits, - _ and ., but not all"
        )
    for event in module.events:
        if event != matched_event(event):
            raise Unfit(f"no hook matches the event {event!r}: call it {matched_event(event)!r}")
    unlisted = {name for name, _key in module.bindings} - {e.name for e in module.exchanges}
    if unlisted:
        raise Unfit(f"it binds to {', '.join(sorted(unlisted))} without listing the exchange")
    return module  # type: ignore[no-any-return]


def _conflict(
    module: EventModule,
    others: Mapping[str, EventModule],
    exchanges: Mapping[str, EventExchange],
) -> str:
    """The module's conflict with others; empty if there is none."""
    if module.id in others:
        return f"the id {module.id!r} is taken by another module"
    known = dict(exchanges)
    for exchange in module.exchanges:
        declared = known.setdefault(exchange.name, exchange)
        if declared != exchange:
            return (
                f"exchange {exchange.name} is {_shown(exchange)} here, "
                f"but was declared {_shown(declared)} before"
            )
    return ""


def _shown(exchange: EventExchange) -> str:
    shown = f"{exchange.type} and {'durable' if exchange.durable else 'not durable'}"
    flags = [name for name in ("auto_delete", "internal") if getattr(exchange, name)]
    undeclared = [] if exchange.declare else ["declare = false"]
    arguments = [f"arguments {dict(exchange.arguments)}"] if exchange.arguments else []
    return ", ".join([shown, *flags, *undeclared, *arguments])
