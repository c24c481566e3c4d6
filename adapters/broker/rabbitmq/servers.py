"""The brokers of one cluster, of which a connection uses one after the other."""

from random import uniform
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import pika  # type: ignore[import-untyped]

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import BrokerError
from callboard.adapters.broker.urls import each_url
from callboard.adapters.keys.tls import Tls, take_options

NEXT_S = 0.1
"""The most seconds before the next broker is tried; shortened by up to half at random."""
CONSUME_S = 1.0
"""The most seconds for the response to a consumer, at first."""


def url_parameters(url: str) -> Any:
    """The URL as pika's parameters, with TLS as its files are now.

    Raises `BrokerError` for an unusable URL or file.
    """
    parameters, tls = _parsed(url)
    if parameters.ssl_options is not None:
        try:
            context = tls.context()
        except ValueError as error:
            raise BrokerError(str(error)) from None
        parameters.ssl_options = pika.SSLOptions(context, tls.server_name or parameters.host)
    return parameters


def _parsed(url: str) -> tuple[Any, Tls]:
    try:
        plain, tls = take_options(url)
        plain, is_external = _take_external(plain)
        parameters = pika.URLParameters(plain)
    except (ValueError, TypeError):
        # The error's text may contain a part of the password.
        expected = "amqp://user:password@host:port/vhost?option=value"
        raise BrokerError(f"not a usable AMQP URL (expected {expected})") from None
    if is_external:
        parameters.credentials = pika.credentials.ExternalCredentials()
    return parameters, tls


def _take_external(url: str) -> tuple[str, bool]:
    """RabbitMQ's option auth_mechanism=external: the client certificate is the login."""
    parts = urlsplit(url)
    given = parse_qsl(parts.query)
    rest = [pair for pair in given if pair != ("auth_mechanism", "external")]
    if rest == given:
        return url, False
    return urlunsplit(parts._replace(query=urlencode(rest))), True


class Servers:
    """Decides which broker is connected to, and after which pause.

    The brokers take turns in the order of `urls`. The pauses of `backoff` follow only when all of
    them have failed. Raises `BrokerError` for an unusable URL.
    """

    def __init__(self, urls: str, backoff: Backoff, name: str, heartbeat_s: int | None) -> None:
        self._urls = each_url(urls)
        self._backoff, self._name, self._heartbeat_s = backoff, name, heartbeat_s
        self._current, self._failed = 0, 0
        for url in self._urls:
            _parsed(url)

    def parameters(self) -> Any:
        """Those of the broker whose turn it is. Raises `BrokerError` if a file cannot be used."""
        url = self._urls[self._current]
        parameters = url_parameters(url)
        if parameters.heartbeat is None:
            parameters.heartbeat = self._heartbeat_s
        if len(self._urls) > 1 and parameters.heartbeat:
            # One that does not respond must not hold up the others for longer than a lost one.
            options = parse_qs(urlsplit(url).query)
            for limit in {"socket_timeout", "stack_timeout"} - options.keys():
                setattr(parameters, limit, min(getattr(parameters, limit), parameters.heartbeat))
        parameters.client_properties = {
            **(parameters.client_properties or {}),
            "connection_name": self._name,
            "product": "Callboard",
        }
        return parameters

    def consume_s(self, longest_s: float) -> float:
        """How long a response to the consumer may take; twice as long after each failure.

        A queue whose leader has just died has the next one within a second, but RabbitMQ 3.10 never
        responds to a consumer that came before.
        """
        return float(min(CONSUME_S * 2 ** min(self._failed, 10), longest_s))

    def pause_s(self, lasted_s: float, *, wanted: bool = False) -> float:
        """The pause in seconds after a connection that lasted `lasted_s` (0: it failed).

        The next broker's turn begins, unless the end of the connection was `wanted`.
        """
        self._failed = 0 if lasted_s else self._failed + 1
        if not wanted:
            self._current = (self._current + 1) % len(self._urls)
        if self._failed % len(self._urls):
            return NEXT_S * uniform(0.5, 1.0)
        return self._backoff.pause_s(lasted_s)
