"""The dashboard's files, all in memory: they are few, and no other path can be read."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import structlog
from attrs import field, frozen

from callboard.web.backend import Portal

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_LOGOS = {".svg": "image/svg+xml", ".png": "image/png"}
LOGO_BYTES = 256 * 1024
ICON = "icon.svg"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors {}; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Always asked for again, so that a page never mixes files of two versions.
    "Cache-Control": "no-cache",
}

_log = structlog.get_logger("callboard")


@frozen
class Asset:
    """A file in the form in which it is sent."""

    content: bytes = field(repr=False)
    media_type: str
    etag: str


class DashboardFiles:
    """The files of the page, by path below the dashboard, and their headers.

    `frame_ancestors`: origins whose pages may show it in a frame; older browsers, which know only
    `X-Frame-Options`, show it in none or, if there are some, in any. Raises OSError.
    """

    def __init__(self, portal: Portal, frame_ancestors: Sequence[str] = ()) -> None:
        ancestors = " ".join(frame_ancestors) or "'none'"
        self.headers: Mapping[str, str] = {
            "Content-Security-Policy": _POLICY.format(ancestors),
            **({} if frame_ancestors else {"X-Frame-Options": "DENY"}),
            **_HEADERS,
        }
        self._files = dict(_below(files("callboard.web") / "dashboard", ""))
        self._files |= {
            "brand.json": _asset(json.dumps({"name": portal.name}).encode(), "application/json"),
            "brand.css": _asset(_colours(*portal.colours).encode(), _TYPES[".css"]),
        }
        self._files["logo"] = _logo(portal.logo) or self._files[ICON]

    def get(self, path: str) -> Asset | None:
        """The file at a path, such as `parts/chart.js`."""
        return self._files.get(path)


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{path}{entry.name}/")
            continue
        media_type = _TYPES.get(entry.name[entry.name.rfind(".") :])
        if media_type is not None:
            yield path + entry.name, _asset(entry.read_bytes(), media_type)


def _asset(content: bytes, media_type: str) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:32]
    return Asset(content, media_type, f'"{digest}"')


def _colours(light: str, dark: str) -> str:
    """The style sheet with a portal's own colours; text on them has its ground's."""
    rules = []
    if light:
        rules.append(f":root {{ --accent: {light}; --on-accent: #ffffff; }}")
    if dark:
        own = f"{{ --accent: {dark}; --on-accent: #191c20; }}"
        unless_light = f':root:not([data-theme="light"]) {own}'
        rules.append(f"@media (prefers-color-scheme: dark) {{ {unless_light} }}")
        rules.append(f':root[data-theme="dark"] {own}')
    return "\n".join(rules)


def _logo(path: Path | None) -> Asset | None:
    """The logo; None, with a warning, if it cannot be shown."""
    if path is None:
        return None
    media_type = _LOGOS.get(path.suffix.lower())
    try:
        content = path.read_bytes()
    except OSError as problem:
        _log.warning("portal_logo_not_shown", file=str(path), reason=str(problem.strerror))
        return None
    if media_type is None or len(content) > LOGO_BYTES:
        reason = f"it must be a file .svg or .png of at most {LOGO_BYTES} bytes"
        _log.warning("portal_logo_not_shown", file=str(path), reason=reason)
        return None
    return _asset(content, media_type)
