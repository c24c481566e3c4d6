"""How stored hooks behave differently here than in Kazoo's webhooks application."""

import socket
import ssl
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from attrs import evolve, frozen

from callboard.adapters.http.address_guard import AddressRefusedError
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.http.target import UrlRefusedError, target_of
from callboard.adapters.http.tls_errors import tls_reason
from callboard.webhooks.hooks.hook import FORM_DATA, JSON, VERBS, InvalidHook, parse_hook

AT_ONCE = 16
"""The most endpoints that are called at the same time."""

Document = Mapping[str, Any]

_ALLOWED_BY = {
    "address": "delivery.allow_networks",
    "port": "delivery.ports",
    "credentials": "delivery.url_credentials",
}


@frozen
class Difference:
    """One difference of a hook. `keep`: the setting or change that keeps Kazoo's behaviour."""

    account_id: str
    hook_id: str
    kind: str
    reason: str
    keep: str = ""


def differences(
    document: Document, rules: EndpointRules, known_events: Collection[str]
) -> Iterator[Difference]:
    """The differences that the hook's document shows, without any look-up."""
    uri = document.get("uri")
    if isinstance(uri, str) and uri:
        yield from _refusals(document, uri, rules)
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
        yield _of(document, "credentials", why, _ALLOWED_BY["credentials"])
    refusal = evolve(rules, credentials=True).refusal(uri)
    if refusal is not None:
        _refused, kind, reason = (part.strip() for part in refusal.split(":", 2))
        yield _of(document, kind, reason, _ALLOWED_BY.get(kind, "correct the uri"))


def at_endpoints(
    documents: Collection[Document], rules: EndpointRules, tls: ssl.SSLContext, timeout_s: float
) -> Iterator[Difference]:
    """The differences that looking names up and TLS handshakes show; nothing is sent.

    Each endpoint is called once. Those that cannot be reached show nothing.
    """
    by_origin: dict[tuple[str, str, int], list[Document]] = {}
    for document in documents:
        try:
            target = rules.target(str(document.get("uri")))
        except UrlRefusedError:
            continue
        by_origin.setdefault((target.scheme, target.address, target.origin[2]), []).append(document)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = threads.map(lambda origin: _objection(origin, rules, tls, timeout_s), by_origin)
        for objection, hooks in zip(found, by_origin.values(), strict=True):
            if objection is not None:
                yield from (_of(document, *objection) for document in hooks)


def _objection(
    origin: tuple[str, str, int], rules: EndpointRules, tls: ssl.SSLContext, timeout_s: float
) -> tuple[str, str, str] | None:
    scheme, host, port = origin
    try:
        address = rules.guard.candidates(host, port)[0].address
        if scheme == "https":
            with socket.create_connection(address[:2], timeout_s) as connection:
                tls.wrap_socket(connection, server_hostname=host).close()
    except AddressRefusedError as refused:
        return "address", f"{host} is {refused}", _ALLOWED_BY["address"]
    except ssl.SSLError as error:
        why = f"Kazoo accepts any certificate; here: {tls_reason(error)}"
        return "tls", why, "delivery.ca_bundle, or a valid certificate"
    except OSError:
        return None
    return None


def _of(document: Document, kind: str, reason: str, keep: str) -> Difference:
    account_id, hook_id = str(document.get("pvt_account_id") or ""), str(document.get("_id"))
    return Difference(account_id, hook_id, kind, reason, keep)
