"""Builds the transport that the settings choose, and checks hooks against the settings."""

import importlib.util
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from callboard.actors.delivery.dry_run import DryRun
from callboard.actors.delivery.senders import Sending, SendingLoop, SendingThreads
from callboard.adapters.http.address_guard import AddressGuard, AddressRefusedError
from callboard.adapters.http.client_certificates import (
    CA_BUNDLE,
    CERTIFICATE,
    NoCertificateError,
    certificate_path,
)
from callboard.adapters.http.descriptors import RESERVED, allow
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.http.policy import HttpPolicy, PolicyArguments
from callboard.adapters.http.target import UrlRefusedError
from callboard.adapters.http.threaded import RequestsTransport
from callboard.adapters.keys.signer import Signer
from callboard.adapters.telemetry.tracing import NO_TRACING, Tracing
from callboard.config.extras import installing
from callboard.config.settings import DeliverySettings, Settings
from callboard.webhooks.hooks.hook import Hook, InvalidHook
from callboard.webhooks.retries.policy import within
from callboard.webhooks.values.endpoint_options import EndpointOptions, Grants

T = TypeVar("T")

CURL = "curl"
"""The transport that needs the extra `async`."""
CURL_MODULE = "pycurl"

CONNECT_TIMEOUT_MS = 10_000
"""The default if neither the node nor the cluster sets it."""

NO_CHOICES: Mapping[str, Any] = {}

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
    """A sender of `count` requests at a time; in a dry run, one that sends none.

    Raises OSError if there is no such CA bundle; TransportUnavailable.
    """
    delivery, body_limit = settings.delivery, settings.attempts.body_limit
    if delivery.dry_run:
        policy = HttpPolicy(AddressGuard(delivery.allow_networks), **_policy(delivery))
        return DryRun(count, policy, signer)
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


def _policy(delivery: DeliverySettings) -> PolicyArguments:
    bundle = delivery.ca_bundle
    return {
        "ports": delivery.ports,
        "credentials": delivery.url_credentials,
        "follow_redirects": delivery.follow_redirects,
        "max_payload": delivery.max_payload,
        "ca_bundle": None if bundle is None else str(bundle),
        "client_certificates": delivery.client_certificates,
    }


def _made(make: Callable[..., T], delivery: DeliverySettings, max_response_bytes: int) -> T:
    try:
        return make(
            connect_timeout_s=(delivery.connect_timeout_ms or CONNECT_TIMEOUT_MS) / 1000,
            request_timeout_s=delivery.request_timeout_ms / 1000,
            allow_networks=delivery.allow_networks,
            max_response_bytes=max_response_bytes,
            proxy=delivery.proxy,
            **_policy(delivery),
        )
    except OSError as error:
        raise OSError(f"delivery.ca_bundle {delivery.ca_bundle}: {error}") from error


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
            f"delivery.transport {delivery.transport} needs {CURL_MODULE}: {installing('async')}"
        )


def rules(delivery: DeliverySettings) -> EndpointRules:
    """The rules for URLs that the settings define."""
    return EndpointRules(
        AddressGuard(delivery.allow_networks), delivery.ports, delivery.url_credentials
    )


def grants(settings: Settings) -> Grants:
    """What the settings let hooks and accounts permit."""
    delivery = settings.delivery
    return Grants(
        frozenset(delivery.hook_options),
        frozenset(delivery.account_options),
        settings.kazoo.compatible,
    )


def endpoint_of(
    hook: Hook, settings: Settings, account: Mapping[str, Any]
) -> EndpointOptions | None:
    """The options in effect for the hook's endpoint. `account`: its document configs_webhooks."""
    options = hook.options
    return grants(settings).settled(options.endpoint, account, checked=options.checked)


def check_hook(hook: Hook, settings: Settings, account: Mapping[str, Any] = NO_CHOICES) -> None:
    """Check that the settings permit the hook's URL, retries and options. Raises InvalidHook.

    `account`: its document configs_webhooks. Does not resolve names, and so does not block: see
    `EndpointRules.refusal`.
    """
    delivery = settings.delivery
    own = hook.options.endpoint
    for option in own.loosened() if own else ():
        if option not in delivery.hook_options:
            raise InvalidHook(
                hook.id, f"{option} may not be set by a hook here (delivery.hook_options)"
            )
    steps_s = hook.options.retry_steps_s
    if within(steps_s, delivery.retry_steps_s) != steps_s:
        raise InvalidHook(
            hook.id,
            f"retry_steps_s take {sum(steps_s):g} s: {sum(delivery.retry_steps_s):g} s are allowed "
            "(delivery.retry_steps_s)",
        )
    refused = rules(delivery).given(endpoint_of(hook, settings, account)).refusal(hook.uri)
    if refused is not None:
        raise InvalidHook(hook.id, f"uri {hook.uri!r} is {refused}{_allowing(refused)}")
    for member, name in (
        (CERTIFICATE, hook.options.certificate),
        (CA_BUNDLE, own.ca_bundle if own else None),
    ):
        if name is None:
            continue
        if not hook.uri.lower().startswith("https:"):
            raise InvalidHook(hook.id, f"{member} {name!r} needs a uri of https")
        try:
            certificate_path(delivery.client_certificates, hook.account_id, name, member)
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
