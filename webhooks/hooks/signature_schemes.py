"""Signatures that a hook sends besides Standard Webhooks: an HMAC of the body in a header.

GitHub's `X-Hub-Signature-256: sha256=<hex>` is the model of nearly all of them. A scheme is the
member `signature` of a hook's document, an object with a name, and with a header, a prefix and an
encoding if they differ from the name's.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from callboard.webhooks.values.pickling import Positional

HEX, BASE64 = "hex", "base64"

MAX_PREFIX = 64

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_PREFIX = re.compile(r"[\x21-\x7e]*")
_DIGESTS = {"hmac-sha256": "sha256", "hmac-sha512": "sha512", "hmac-sha1": "sha1"}

RESERVED_HEADERS = frozenset(
    {
        # They belong to one connection or to the transport (RFC 9110, 7.6.1; RFC 9112, 6).
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding"),
        *("upgrade", "content-length", "content-encoding", "expect", "host", "accept-encoding"),
        # Callboard sets them: content, hook and account, and signatures.
        *("content-type", "x-hook-id", "x-account-id", "traceparent", "tracestate"),
        "callboard-hops",
    }
)
RESERVED_PREFIXES = ("proxy-", "webhook-")


class InvalidScheme(ValueError):
    """No scheme; the text names the member and the permitted values."""


@frozen
class Scheme(Positional):
    """How the signature is made: `name` names the algorithm; `encoding` is `hex` or `base64`."""

    name: str
    header: str
    prefix: str
    encoding: str

    def signature(self, key: bytes, body: bytes) -> tuple[str, str]:
        """The header with the signature of these bytes."""
        digest = hmac.digest(key, body, _DIGESTS[self.name])
        text = digest.hex() if self.encoding == HEX else b64encode(digest).decode()
        return self.header, self.prefix + text


def _known(header: str, digest: str) -> tuple[str, str, str, str]:
    return f"hmac-{digest}", header, f"{digest}=", HEX


NAMED = {
    "github": _known("X-Hub-Signature-256", "sha256"),
    "github-sha1": _known("X-Hub-Signature", "sha1"),
    "shopify": ("hmac-sha256", "X-Shopify-Hmac-Sha256", "", BASE64),
}
"""Schemes by the names of their best-known users: algorithm, header, prefix, encoding."""


def is_token(name: str) -> bool:
    """Whether this may be the name of a header (RFC 9110, 5.1)."""
    return _TOKEN.fullmatch(name) is not None


def is_reserved(name: str) -> bool:
    """Whether Callboard or the transport sets this header."""
    return name.lower() in RESERVED_HEADERS or name.lower().startswith(RESERVED_PREFIXES)


def parse_scheme(value: Any) -> Scheme | None:
    """The scheme in a hook's document; None without one. Raises InvalidScheme.

    `name` is one of `NAMED`, or an algorithm, which needs a header.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidScheme("it is no object with name, header, prefix and encoding")
    if other := set(value) - {"name", "header", "prefix", "encoding"}:
        raise InvalidScheme(f"{min(other)} is no member: use name, header, prefix, encoding")
    name = value.get("name", "hmac-sha256")
    if not isinstance(name, str) or (name not in NAMED and name not in _DIGESTS):
        raise InvalidScheme(
            f"name {name!r} is unknown: use one of {', '.join((*NAMED, *_DIGESTS))}"
        )
    algorithm, *defaults = NAMED.get(name, (name, "", "", HEX))
    header, prefix, encoding = (
        value.get(key, default)
        for key, default in zip(("header", "prefix", "encoding"), defaults, strict=True)
    )
    if not isinstance(header, str) or not is_token(header):
        raise InvalidScheme(f"header {header!r} is no header name (RFC 9110, 5.1)")
    if is_reserved(header):
        raise InvalidScheme(f"header {header} may not be set by a hook")
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix) or len(prefix) > MAX_PREFIX:
        raise InvalidScheme(
            f"prefix {prefix!r} is no text of up to {MAX_PREFIX} printable characters"
        )
    if encoding not in (HEX, BASE64):
        raise InvalidScheme(f"encoding {encoding!r} is unknown: use {HEX} or {BASE64}")
    return Scheme(algorithm, header, prefix, encoding)
