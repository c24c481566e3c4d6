"""Settings for another machine: without secrets, which it replaces by its own.

Between machines messages are sealed, not encrypted: docs/adr/0025-deliverers-on-other-machines.md.
"""

from typing import Any
from urllib.parse import urlsplit

from attrs import evolve

from callboard.config.options import options
from callboard.config.settings import Settings

WITHHELD = "withheld"
"""The host in the URL of a server that only the node uses."""


def without_secrets(settings: Settings) -> Settings:
    """The settings for remote deliverers, which need neither broker nor store nor API."""
    sections: dict[str, Any] = {}
    for option in options():
        if option.secret:
            section = sections.get(option.section, getattr(settings, option.section))
            sections[option.section] = evolve(section, **{option.name: option.default})
    amqp, couchdb, delivery = settings.amqp, settings.couchdb, settings.delivery
    return evolve(
        settings,
        **sections
        | {
            "amqp": evolve(amqp, url=_scheme_alone(amqp.url), zones=()),
            "couchdb": evolve(couchdb, url=_scheme_alone(couchdb.url)),
            "delivery": evolve(delivery, proxy=_without_credentials(delivery.proxy)),
        },
    )


def with_own(received: Settings, own: Settings) -> Settings:
    """The received settings, with the secrets of the machine that receives them."""
    return evolve(
        received,
        secrets=evolve(own.secrets, key_file=own.secrets_key_file.absolute()),
        tracing=evolve(received.tracing, headers=own.tracing.headers),
        delivery=evolve(received.delivery, proxy=own.delivery.proxy or received.delivery.proxy),
    )


def _scheme_alone(url: str) -> str:
    return f"{urlsplit(url).scheme}://{WITHHELD}"


def _without_credentials(proxy: str) -> str:
    scheme, _, place = proxy.rpartition("//")
    return f"{scheme}//{place.rpartition('@')[2]}" if proxy else ""
