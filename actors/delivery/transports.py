"""Builds the transport that the settings choose, and checks hooks against the settings."""

import importlib.util
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from callboard.actors.delivery.senders import Sending, SendingLoop, SendingThreads
from callboard.adapters.http.address_guard import AddressGuard, AddressRefusedError
from callboard.adapters.http.client_certificates import NoCertificateError, certificate_path
from callboard.adapters.http.descriptors import RESERVED, allow
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.http.target import UrlRefusedError
from callboard.adapters.http.threaded import RequestsTransport
from callboard.adapters.keys.signer import Signer
from callboard.adapters.telemetry.tracing import NO_TRACING, Tracing
from callboard.config.settings import DeliverySettings, Settings
from callboard.webhooks.hooks.hook import Hook, InvalidHook
from callboard.webhooks.retries.policy import within

T = TypeVar("T")

CURL = "curl"
"""The transport that needs the extra `async`."""
CURL_MODULE = "pycurl"

CONNECT_TIMEOUT_MS = 10_000
"""The default if neither the node nor the cluster sets it."""

KEPT_ENDPOINTS = 1000
"""Connections are kept to this number of endpoints; the least recently used is closed first."""

_ALLOWED_BY = {
    "address": "delivery.allow_networks",
    "port": "delivery.ports",
    "credentials": "delivery.url_credentials",
}


class TransportUnavailable(Exception):
    """The chosen transport is not installed; the text says what to install."""


def slots(delivery: DeliverySettings) -> int:
    """The limit of a worker's requests in flight."""
    return delivery.in_flight if delivery.transport == CURL else delivery.threads


def sending(
    settings: Settings, count: int, signer: Signer, tracing: Tracing = NO_TRACING
) -> Sending[Any]:
    """A sender of `count` requests at a time.

    Raises OSError if there is no such CA bundle; TransportUnavailable.
    """
    delivery, body_limit = settings.delivery, settings.attempts.body_limit
    if delivery.transport != CURL:
        made = transport(delivery, body_limit, kept_endpoints(delivery, count))
        return SendingThreads(count, made, signer, tracing)
    _check_installed(delivery)
    from callboard.adapters.http.curl import CurlTransport

    allow(2 * count + RESERVED)
    loop = _made(partial(CurlTransport, in_flight=count), delivery, body_limit)
    return SendingLoop(count, loop, signer, tracing)


def kept_endpoints(delivery: DeliverySettings, count: int) -> int:
    """The number of endpoints to keep connections to, limited by the available descriptors."""
    each = delivery.in_flight_per_endpoint
    descriptors = allow(KEPT_ENDPOINTS * each + count + RESERVED)
    return max(1, min(KEPT_ENDPOINTS, (descriptors - count - RESERVED) // each))


def transport(
    delivery: DeliverySettings, max_response_bytes: int, endpoints: int = 1
) -> RequestsTransport:
    """A transport for `delivery.threads` threads. Raises OSError if there is no such CA bundle."""
    make = partial(RequestsTransport, pool_size=delivery.threads, endpoints=endpoints)
    return _made(make, delivery, max_response_bytes)


def _made(make: Callable[..., T], delivery: DeliverySettings, max_response_bytes: int) -> T:
    bundle = delivery.ca_bundle
    try:
        return make(
            connect_timeout_s=(delivery.connect_timeout_ms or CONNECT_TIMEOUT_MS) / 1000,
            request_timeout_s=delivery.request_timeout_ms / 1000,
            allow_networks=delivery.allow_networks,
            max_response_bytes=max_response_bytes,
            ports=delivery.ports,
            credentials=delivery.url_credentials,
            follow_redirects=delivery.follow_redirects,
            max_payload=delivery.max_payload,
            ca_bundle=None if bundle is None else str(bundle),
            client_certificates=delivery.client_certificates,
            proxy=delivery.proxy,
        )
    except OSError as error:
        raise OSError(f"delivery.ca_bundle {bundle}: {error}") from error


def check(delivery: DeliverySettings) -> None:
    """Check the settings of the transport. Raises OSError, TransportUnavailable."""
    if delivery.transport == CURL:
        _check_installed(delivery)
    transport(delivery, 0).close()
    folder = delivery.client_certificates
    if folder is not None and not folder.is_dir():
        raise NotADirectoryError(f"delivery.client_certificates {folder}: there is no such folder")


def _check_installed(delivery: DeliverySettings) -> None:
    if importlib.util.find_spec(CURL_MODULE) is None:
        raise TransportUnavailable(
            f"delivery.transport {delivery.transport} needs {CURL_MODULE}: "
            "pip install 'callboard[async]'"
        )


def rules(delivery: DeliverySettings) -> EndpointRules:
    """The rules for URLs that the settings define."""
    return EndpointRules(
        AddressGuard(delivery.allow_networks), delivery.ports, delivery.url_credentials
    )


def check_hook(hook: Hook, delivery: DeliverySettings) -> None:
    """Check that the settings permit the hook's URL, retries and certificate. Raises InvalidHook.

    Does not resolve names, and so does not block: see `EndpointRules.refusal`.
    """
    steps_s = hook.options.retry_steps_s
    if within(steps_s, delivery.retry_steps_s) != steps_s:
        raise InvalidHook(
            hook.id,
            f"retry_steps_s take {sum(steps_s):g} s: {sum(delivery.retry_steps_s):g} s are allowed "
            "(delivery.retry_steps_s)",
        )
    refused = rules(delivery).refusal(hook.uri)
    if refused is not None:
        raise InvalidHook(hook.id, f"uri {hook.uri!r} is {refused}{_allowing(refused)}")
    certificate = hook.options.certificate
    if certificate is None:
        return
    if not hook.uri.lower().startswith("https:"):
        raise InvalidHook(hook.id, f"client_certificate {certificate!r} needs a uri of https")
    try:
        certificate_path(delivery.client_certificates, hook.account_id, certificate)
    except NoCertificateError as problem:
        raise InvalidHook(hook.id, str(problem)) from None


def _allowing(refused: str) -> str:
    """A hint at the setting that permits such a URL, if there is one."""
    key = _ALLOWED_BY.get(refused.split(":")[1].strip())
    return "" if key is None else f"; {key} may allow it"


def doubt(uri: str, known: EndpointRules) -> str | None:
    """A warning if the URL's host name does not resolve now, or resolves to a refused address.

    A sentence for the user who has just created the hook; the name may resolve differently at the
    next delivery. Blocks on the resolver.
    """
    try:
        target = known.target(uri)
        known.guard.candidates(target.address, target.origin[2])
    except AddressRefusedError as refused:
        return (
            f"{target.host} is {refused} at the moment: nothing is sent there, unless "
            "delivery.allow_networks has it"
        )
    except socket.gaierror as error:
        return f"{target.host} is not known at the moment: {error.strerror}"
    except UrlRefusedError as error:
        return f"refused: {error}: {error.detail}"
    return None
