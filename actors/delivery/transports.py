"""The transport that the settings ask for, and what they say of a hook before it is sent."""

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

T = TypeVar("T")

CURL = "curl"
"""The transport that needs an extra."""
CURL_MODULE = "pycurl"

CONNECT_TIMEOUT_MS = 10_000
"""Where neither the node nor the cluster says otherwise."""

KEPT_ENDPOINTS = 1000
"""To so many endpoints connections are kept, the least recently used one goes first."""

_ALLOWED_BY = {
    "address": "delivery.allow_networks",
    "port": "delivery.ports",
    "credentials": "delivery.url_credentials",
}


class TransportUnavailable(Exception):
    """A transport is wanted that is not installed; the text says what to do."""


def slots(delivery: DeliverySettings) -> int:
    """How many requests a worker may have under way."""
    return delivery.in_flight if delivery.transport == CURL else delivery.threads


def sending(
    settings: Settings, count: int, signer: Signer, tracing: Tracing = NO_TRACING
) -> Sending[Any]:
    """What sends so many at once. Raises OSError: no such CA bundle; TransportUnavailable."""
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
    """To how many endpoints connections are kept: no more than descriptors may be had for."""
    each = delivery.in_flight_per_endpoint
    descriptors = allow(KEPT_ENDPOINTS * each + count + RESERVED)
    return max(1, min(KEPT_ENDPOINTS, (descriptors - count - RESERVED) // each))


def transport(
    delivery: DeliverySettings, max_response_bytes: int, endpoints: int = 1
) -> RequestsTransport:
    """A transport for as many threads as `delivery` has. Raises OSError: no such CA bundle."""
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
    """Refuse settings that no transport can be made of. Raises OSError, TransportUnavailable."""
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
    """What the settings let a uri be."""
    return EndpointRules(
        AddressGuard(delivery.allow_networks), delivery.ports, delivery.url_credentials
    )


def check_hook(hook: Hook, delivery: DeliverySettings) -> None:
    """Refuse a hook that nothing would ever be sent for, by what is written in it.

    Looks up no name, so that it takes no time: see `EndpointRules.refusal`. Raises InvalidHook.
    """
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
    """What would let such a uri be, where something would."""
    key = _ALLOWED_BY.get(refused.split(":")[1].strip())
    return "" if key is None else f"; {key} may allow it"


def doubt(uri: str, known: EndpointRules) -> str | None:
    """What the name in a uri that is not refused means at this moment, if that speaks against it.

    A sentence for whoever has just made the hook; by the next delivery the name may mean something
    else. Asks the resolver, and waits for it.
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
