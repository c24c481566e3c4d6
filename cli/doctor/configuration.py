"""Checks of the configuration."""

import stat
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.tracing import TracingUnavailable
from callboard.actors.base.tracing import check as check_tracing
from callboard.actors.delivery.transports import TransportUnavailable, check
from callboard.cli.doctor.finding import Finding, ok, problem, warning
from callboard.config.loader import Loaded
from callboard.config.settings import Settings

METADATA = (ip_network("169.254.169.254/32"), ip_network("fd00:ec2::254/128"))
"""Addresses of cloud metadata services, which provide credentials."""
WIDE = {4: 8, 6: 16}
"""Shorter prefixes than these cover most of all addresses."""

Network = IPv4Network | IPv6Network


def file(loaded: Loaded) -> Finding:
    """Checks the configuration file, and whether other users may read its passwords."""
    if loaded.file is None:
        return ok("configuration", "no file; defaults, environment and command line apply")
    changed = sum(origin != "default" for origin in loaded.origins.values())
    what = f"{loaded.file}, {changed} keys set in all"
    if loaded.file.is_file() and loaded.file.stat().st_mode & stat.S_IROTH and _secret(loaded):
        return warning(
            "configuration",
            f"{loaded.file} holds a password and is open to every user",
            f"chmod 640 {loaded.file}, and set its group to the one Callboard runs in",
        )
    return ok("configuration", what)


def _secret(loaded: Loaded) -> bool:
    settings, mine = loaded.settings, str(loaded.file)
    secrets = {
        "amqp.url": "@" in settings.amqp.url,
        "couchdb.url": "@" in settings.couchdb.url,
        "delivery.proxy": "@" in settings.delivery.proxy,
        "secrets.key": bool(settings.secrets.key),
        "actors.key": bool(settings.actors.key),
        "api.admin_token": bool(settings.api.admin_token),
    }
    return any(held and loaded.origins[key].startswith(mine) for key, held in secrets.items())


def modules(settings: Settings) -> Iterator[Finding]:
    """Checks that every event module can be loaded."""
    found = event_modules(settings)
    for trouble in found.problems:
        what = f"{trouble.module} ({trouble.source}): {trouble.reason}"
        yield problem("event modules", what, "correct or remove it: `callboard modules list`")
    yield ok("event modules", ", ".join(module.id for module in found.modules))


def delivery(settings: Settings) -> Iterator[Finding]:
    """Checks the files that deliveries need, and where hooks may point."""
    try:
        check(settings.delivery)
    except OSError as error:
        yield problem("delivery", str(error), "name an existing file or directory")
    except TransportUnavailable as error:
        yield problem("delivery", *str(error).split(": ", 1))
    else:
        yield ok("delivery", "certificates and proxy can be used")
    yield openness(settings.delivery.allow_networks)


def tracing(settings: Settings) -> Finding:
    """Checks that the libraries for spans are installed, if these are wanted."""
    try:
        check_tracing(settings.tracing)
    except TracingUnavailable as error:
        return problem("tracing", *str(error).split(": ", 1))
    return ok("tracing", "can be used" if settings.tracing.endpoint else "off")


def openness(networks: Sequence[Network]) -> Finding:
    """Checks whether hooks may point to dangerous networks."""
    mend = "keep delivery.allow_networks as small as the endpoints need (docs/security.md)"
    shown = ", ".join(map(str, networks))
    for network in networks:
        if network.prefixlen < WIDE[network.version]:
            return warning("allow_networks", f"{network} covers most of all addresses", mend)
        if any(place.version == network.version and network.overlaps(place) for place in METADATA):
            return warning("allow_networks", f"{network} includes a cloud metadata service", mend)
    if any(network.is_loopback for network in networks):
        what = f"{shown}: hooks may reach every service of this machine"
        return warning("allow_networks", what, f"acceptable for a trial; otherwise {mend}")
    return ok("allow_networks", shown or "hooks may point to public addresses only")
