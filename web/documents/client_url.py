"""Which URLs a hook may have: Kazoo's rule (kzd_webhooks, kz_web), and Callboard's."""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

SCHEMES = ("http", "https")


def uri_problem(
    uri: str,
    blacklist: Mapping[str, Any],
    refusal: Callable[[str], str | None],
) -> dict[str, dict[str, Any]] | None:
    """The rule that the URL breaks, with its message; None if it breaks none.

    `blacklist`: `client.blacklist` of system_config/kazoo_web, if configured. Kazoo's default,
    localhost and 127.0.0.1, is included in `refusal`, Callboard's rule, which returns the reason to
    refuse a URL.
    """
    parts = _parts(uri)
    if parts is None or not parts.scheme or not parts.hostname:
        message = "Field is not in the correct format"
        return {"wrong_format": {"message": message, "value": uri, "format": "uri"}}
    if parts.scheme.lower() not in SCHEMES:
        return _invalid(uri, f"the scheme must be one of {', '.join(SCHEMES)}")
    if _blacklisted(parts.hostname, blacklist):
        return _invalid(uri, f"{parts.hostname} is on the cluster's blacklist")
    if reason := refusal(uri):
        return _invalid(uri, reason)
    return None


def _invalid(uri: str, cause: str) -> dict[str, dict[str, Any]]:
    return {"error": {"message": "invalid client URL", "value": uri, "cause": cause}}


def _parts(uri: str) -> SplitResult | None:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _blacklisted(host: str, blacklist: Mapping[str, Any]) -> bool:
    host = host.lower()
    if host in [name.lower() for name in _texts(blacklist.get("hosts"))]:
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(_contains(cidr, address) for cidr in _texts(blacklist.get("cidrs")))


def _contains(cidr: str, address: Any) -> bool:
    try:
        return address in ip_network(cidr, strict=False)
    except ValueError:
        return False


def _texts(value: Any) -> Iterable[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
