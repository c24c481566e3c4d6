"""The settings as rows for people: effective values and their origins."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from attrs import frozen

from callboard.config.loader import Loaded
from callboard.config.options import options
from callboard.config.rules import HIDDEN, mask
from callboard.config.settings import Settings


@frozen
class Row:
    """One key, its value with secrets masked, and its origin."""

    key: str
    value: str
    origin: str


def effective(loaded: Loaded) -> tuple[Row, ...]:
    """Every key with its effective value, in the order of `default.toml`; then the modules."""
    return tuple(
        Row(key, value, loaded.origins.get(key, str(loaded.file)))
        for key, value in shown(loaded.settings)
    )


def shown(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Every key and its value, secrets masked, in the order of `default.toml`; then the modules."""
    keys = tuple(
        (option.key, _shown(getattr(getattr(settings, option.section), option.name), option.secret))
        for option in options()
    )
    modules = tuple(
        (f"modules.{table.id}", f"{table.exchange}: {', '.join(table.bindings)}")
        for table in settings.modules
    )
    return keys + modules


Value = (
    str
    | int
    | bool
    | Path
    | tuple[IPv4Network | IPv6Network | str, ...]
    | Mapping[str, tuple[float, ...]]
    | None
)


def _shown(value: Value, secret: bool) -> str:
    if value is None or value == "":
        return ""
    if secret:
        return HIDDEN
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ";".join(f"{name}={','.join(map(str, items))}" for name, items in value.items())
    if isinstance(value, tuple):
        return ", ".join(mask(str(item)) for item in value)
    return mask(str(value))
