"""The URLs of broker and store with the settings for TLS, as RabbitMQ's options of URLs."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from callboard.config.settings import AmqpSettings, CouchdbSettings, Settings


def broker_url(settings: Settings, url: str = "") -> str:
    """The URL of the node's broker, or this one of a zone; with TLS, options say how."""
    options = _options(settings.amqp)
    each = re.split(r",(?=[\w+.-]+://)", url or settings.amqp.url)
    return ",".join(_with(one, options) for one in each)


def store_url(settings: Settings) -> str:
    """The same of the store."""
    return _with(settings.couchdb.url, _options(settings.couchdb))


def _options(section: AmqpSettings | CouchdbSettings) -> Mapping[str, str]:
    written = {
        "cacertfile": section.ca_bundle,
        "certfile": section.client_certificate,
        "keyfile": section.client_key,
        "server_name_indication": section.tls_server_name,
        "verify": "" if section.tls_verify else "verify_none",
    }
    return {name: str(value) for name, value in written.items() if value}


def _with(url: str, options: Mapping[str, str]) -> str:
    """An option that the URL has comes first."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("amqps", "https") or not options:
        return url
    given = parse_qsl(parts.query, keep_blank_values=True)
    if any(name == "certfile" for name, _value in given):  # with its own key, or without
        options = {name: value for name, value in options.items() if name != "keyfile"}
    return urlunsplit(parts._replace(query=urlencode({**options, **dict(given)})))
