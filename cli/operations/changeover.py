"""How stored hooks behave differently here than in Kazoo's webhooks application."""

import socket
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from attrs import evolve, frozen

from callboard.adapters.http.address_guard import AddressGuard, AddressRefusedError
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.http.target import UrlRefusedError, target_of
from callboard.adapters.http.tls_errors import tls_reason
from callboard.webhooks.hooks.hook import FORM_DATA, JSON, VERBS, InvalidHook, parse_hook
from callboard.webhooks.values.endpoint_options import EndpointOptions

AT_ONCE = 16
"""The most endpoints that are called at the same time."""

Document = Mapping[str, Any]

_COMPATIBLE = "kazoo.compatible"
NONE = "none"
"""In place of a setting: what Kazoo does is permitted already."""
_OPTION = {
    "address": "allow_networks",
    "port": "ports",
    "credentials": "url_credentials",
    "tls": "tls_verify",
}


def _kept_by(kind: str) -> str:
    """The settings and the hook's option that keep Kazoo's behaviour."""
    if kind not in _OPTION:
        return "correct the uri"
    option = _OPTION[kind]
    wide = "ca_bundle" if kind == "tls" else option
    return f"{_COMPATIBLE}, or delivery.{wide}, or {option} of the hook (delivery.hook_options)"


Given = Callable[[Mapping[str, Any]], EndpointOptions | None]
"""The options in effect for the endpoint of a hook's document."""


_STRICT = EndpointRules(AddressGuard())
_Place = tuple[tuple[str, str, int], EndpointOptions | None, str]


@frozen
class Difference:
    """One difference of a hook. `keep`: the setting or change that keeps Kazoo's behaviour."""

    account_id: str
    hook_id: str
    kind: str
    reason: str
    keep: str = ""


def differences(
    document: Document, rules: EndpointRules, known_events: Collection[str], given: Given
) -> Iterator[Difference]:
    """The differences that the hook's document shows, without any look-up.

    What the strictest settings would refuse, but these or the hook's options permit, is kept by
    `NONE`.
    """
    uri = document.get("uri")
    if isinstance(uri, str) and uri:
        refused = {one.kind: one for one in _refusals(document, uri, rules.given(given(document)))}
        yield from refused.values()
        for one in _refusals(document, uri, _STRICT):
            if one.kind not in refused:
                yield evolve(one, keep=NONE)
    verb, format = document.get("http_verb", "post"), document.get("format")
    kazoo_fires = verb in VERBS
    if not kazoo_fires and str(verb or "post").lower() in VERBS:
        yield _of(
            document, "verb", f"http_verb {verb!r} sends nothing in Kazoo", "disable the hook"
        )
    if kazoo_fires and verb != "get" and str(format).lower() not in (FORM_DATA, JSON):
        why = f"format {format!r} sends nothing in Kazoo, and a form here"
        yield _of(document, "format", why, "disable the hook")
    try:
        parse_hook(document, known_events)
    except InvalidHook as invalid:
        if invalid.reason.startswith("hook "):
            keep = "a [[modules]] table, if another application of Kazoo has this event"
            yield _of(document, "event", invalid.reason, keep)


def _refusals(document: Document, uri: str, rules: EndpointRules) -> Iterator[Difference]:
    try:
        target = target_of(uri)
    except UrlRefusedError as refused:
        yield _of(document, "url", refused.detail, "correct the uri")
        return
    if target.credentials is not None and not rules.credentials:
        why = "the uri holds a user or a password, which Kazoo sends"
        yield _of(document, "credentials", why, _kept_by("credentials"))
    refusal = evolve(rules, credentials=True).refusal(uri)
    if refusal is not None:
        _refused, kind, reason = (part.strip() for part in refusal.split(":", 2))
        yield _of(document, kind, reason, _kept_by(kind))


def at_endpoints(
    documents: Collection[Document],
    rules: EndpointRules,
    given: Given,
    tls: Callable[[EndpointOptions | None, str], ssl.SSLContext],
    timeout_s: float,
) -> Iterator[Difference]:
    """The differences that looking names up and TLS handshakes show; nothing is sent.

    `tls`: how the endpoint's certificate is verified for hooks of an account with these options.
    Each endpoint is called once for the same options. Those that cannot be reached show nothing.
    """
    by_place: dict[_Place, list[Document]] = {}
    for document in documents:
        options = given(document)
        try:
            target = rules.given(options).target(str(document.get("uri")))
        except UrlRefusedError:
            continue
        own = str(document.get("pvt_account_id")) if options and options.ca_bundle else ""
        place = (target.scheme, target.address, target.origin[2]), options, own
        by_place.setdefault(place, []).append(document)

    def objection(place: _Place) -> tuple[str, str, str] | None:
        origin, options, account_id = place
        return _objection(origin, rules.given(options), tls(options, account_id), timeout_s)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = threads.map(objection, by_place)
        for found_one, hooks in zip(found, by_place.values(), strict=True):
            if found_one is not None:
                yield from (_of(document, *found_one) for document in hooks)


def _objection(
    origin: tuple[str, str, int],
    rules: EndpointRules,
    tls: ssl.SSLContext,
    timeout_s: float,
) -> tuple[str, str, str] | None:
    scheme, host, port = origin
    try:
        address = rules.guard.candidates(host, port)[0].address
        if scheme == "https":
            with socket.create_connection(address[:2], timeout_s) as connection:
                tls.wrap_socket(connection, server_hostname=host).close()
    except AddressRefusedError as refused:
        return "address", f"{host} is {refused}", _kept_by("address")
    except ssl.SSLError as error:
        why = f"Kazoo accepts any certificate; here: {tls_reason(error)}"
        return "tls", why, _kept_by("tls")
    except OSError:
        return None
    return None


def _of(document: Document, kind: str, reason: str, keep: str) -> Difference:
    account_id, hook_id = str(document.get("pvt_account_id") or ""), str(document.get("_id"))
    return Difference(account_id, hook_id, kind, reason, keep)
