"""All checks of the doctor, in the order of the report."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from callboard.cli.doctor import (
    broker,
    configuration,
    files,
    installation,
    machine,
    store,
    system,
)
from callboard.cli.doctor.finding import Check, Finding, problem
from callboard.config.loader import ConfigError, Loaded
from callboard.config.settings import Settings

Look = Callable[[Settings], Finding | Iterable[Finding]]

ALWAYS = (
    Check("python", lambda: [installation.python()]),
    Check("libraries", installation.libraries),
    Check("locale", lambda: [machine.texts()]),
)
OF_SETTINGS: tuple[tuple[str, Look], ...] = (
    ("event modules", configuration.modules),
    ("delivery", configuration.delivery),
    ("tracing", configuration.tracing),
    ("data directory", files.data_directory),
    ("databases", files.databases),
    ("actors' key", files.actors_key),
    ("secrets' key", files.secrets_key),
    ("API's token", files.api_token),
    ("open files", machine.limits),
    ("hostname", machine.hostname),
    ("ports", machine.ports),
    ("broker", broker.broker),
    ("store", store.store),
    ("system", system.running_system),
)


def checks(configured: Callable[[], Loaded]) -> tuple[Check, ...]:
    """All checks; without a configuration, those that need none."""
    try:
        loaded = configured()
    except ConfigError as error:
        wrong = problem(
            "configuration", str(error), "correct it: config/default.toml documents every key"
        )
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
