"""Does the configuration mean what its author meant?"""

import stat
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from callboard.actors.base.event_modules import event_modules
from callboard.actors.delivery.transports import TransportUnavailable, check
from callboard.cli.doctor.finding import Finding, ok, problem, warning
from callboard.config.loader import Loaded
from callboard.config.settings import Settings

METADATA = (ip_network("169.254.169.254/32"), ip_network("fd00:ec2::254/128"))
"""Where clouds tell a machine its credentials."""
WIDE = {4: 8, 6: 16}
"""Networks of shorter prefixes than these are most of what there is."""

Network = IPv4Network | IPv6Network


def file(loaded: Loaded) -> Finding:
    """The file that was read, and whether others may read the passwords in it."""
    if loaded.file is None:
        return ok("configuration", "no file: defaults, environment and command line")
    changed = sum(origin != "default" for origin in loaded.origins.values())
    what = f"{loaded.file}, {changed} keys set in all"
    if loaded.file.is_file() and loaded.file.stat().st_mode & stat.S_IROTH and _secret(loaded):
        return warning(
            "configuration",
            f"{loaded.file} holds a password and is open to every user",
            f"chmod 640 {loaded.file}, and let its group be the one Callboard runs in",
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
    """Whether every event module can be loaded."""
    found = event_modules(settings)
    for trouble in found.problems:
        what = f"{trouble.module} ({trouble.source}): {trouble.reason}"
        yield problem("event modules", what, "mend or remove it: `callboard modules list`")
    yield ok("event modules", ", ".join(module.id for module in found.modules))


def delivery(settings: Settings) -> Iterator[Finding]:
    """The files that deliveries need, and where hooks may point."""
    try:
        check(settings.delivery)
    except OSError as error:
        yield problem("delivery", str(error), "name a file or folder that is there")
    except TransportUnavailable as error:
        yield problem("delivery", *str(error).split(": ", 1))
    else:
        yield ok("delivery", "certificates and proxy can be used")
    yield openness(settings.delivery.allow_networks)


def openness(networks: Sequence[Network]) -> Finding:
    """Whether hooks may point where the operator would be sorry for it."""
    mend = "keep delivery.allow_networks as small as the endpoints need (docs/security.md)"
    shown = ", ".join(map(str, networks))
    for network in networks:
        if network.prefixlen < WIDE[network.version]:
            return warning("allow_networks", f"{network} is most of the network there is", mend)
        if any(place.version == network.version and network.overlaps(place) for place in METADATA):
            return warning("allow_networks", f"{network} has the metadata of clouds in it", mend)
    if any(network.is_loopback for network in networks):
        what = f"{shown}: hooks may reach every service of this machine"
        return warning("allow_networks", what, f"fine for trying out; else {mend}")
    return ok("allow_networks", shown or "hooks may point to public addresses only")
