"""The dashboard's files, all in memory: they are few, and no other path can be read."""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from attrs import field, frozen

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@frozen
class Asset:
    """A file in the form in which it is sent."""

    content: bytes = field(repr=False)
    media_type: str
    etag: str


def assets() -> Mapping[str, Asset]:
    """By path below the dashboard, such as `parts/chart.js`. Raises OSError."""
    return dict(_below(files("callboard.web") / "dashboard", ""))


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{path}{entry.name}/")
            continue
        media_type = _TYPES.get(entry.name[entry.name.rfind(".") :])
        if media_type is not None:
            content = entry.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:32]
            yield path + entry.name, Asset(content, media_type, f'"{digest}"')
