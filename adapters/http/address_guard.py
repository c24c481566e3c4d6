"""Which addresses a webhook may be sent to: protects our own network from tenants' URLs.

A tenant who may save a hook chooses where our servers connect to. Without a check that includes the
cloud's metadata service and every machine behind the firewall (server-side request forgery, OWASP).
A check of the URL is not enough, as a name may resolve to any address, and to a different one the
second time. So a name is resolved once, each address is checked, and the connection is made to the
checked address (`callboard.adapters.http.connection`).
"""

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from attrs import field, frozen

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Resolver = Callable[..., list[Any]]
"""Has the signature and the errors of `socket.getaddrinfo`."""

# Spelled out instead of using `ipaddress.is_global`, whose results differ between the patch
# releases of the supported Pythons.
_NOT_PUBLIC_V4 = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_NOT_PUBLIC_V6 = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)
# Clouds reach services of their own at addresses that look public: such a request never leaves the
# cloud, and comes from this machine.
_CLOUD_V4 = tuple(
    (IPv4Network(network), "cloud service")
    for network in (
        "161.26.0.0/16",  # IBM: DNS, time, packages
        "166.8.0.0/14",  # IBM: service endpoints
        "168.63.129.16/32",  # Azure: the host node's agent, DNS, certificates
        "199.36.153.4/30",  # Google: restricted.googleapis.com
        "199.36.153.8/30",  # Google: private.googleapis.com
    )
)
_CLOUD_V6 = tuple(
    (IPv6Network(network), "cloud service")
    for network in (
        "2600:2d00:2:1000::/56",  # Google: restricted.googleapis.com
        "2600:2d00:2:2000::/56",  # Google: private.googleapis.com
    )
)
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefusedError(Exception):
    """All addresses of a host are refused. The text names one of them and the reason."""


@frozen
class Candidate:
    """A checked address to connect to: the arguments of `socket.socket` and of `connect`."""

    family: int
    address: tuple[Any, ...]


def _networks(networks: Iterable[IPNetwork | str]) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(network) for network in networks)


@frozen
class AddressGuard:
    """Permits public unicast addresses, and those of `allow_networks` (IPv4 or IPv6).

    It refuses addresses that the IANA special-purpose address registries (RFC 6890) do not list as
    globally reachable, and those of clouds' own services. An IPv4 address inside an IPv6 one
    (mapped, RFC 4291; NAT64, RFC 6052) is checked by itself, so allowing `::/0` does not open IPv4.
    6to4 and Teredo tunnels are refused with any destination, unless both the tunnel's network and
    the address within are allowed.
    """

    allow_networks: tuple[IPNetwork, ...] = field(default=(), converter=_networks)
    resolve: Resolver = socket.getaddrinfo

    def candidates(self, host: str, port: int) -> list[Candidate]:
        """The permitted addresses of `host`, in the resolver's order; never empty.

        Every spelling goes through the resolver, so `2130706433` or `0x7f.1` are judged by their
        meaning. Refused addresses are omitted. Raises `AddressRefusedError` if none remains, and
        `socket.gaierror` for a name that does not resolve. The only time limit is the resolver's
        own (resolv.conf(5): `timeout`, `attempts`): getaddrinfo cannot be interrupted.
        """
        allowed: list[Candidate] = []
        refused = ""
        for family, _type, _protocol, _name, address in self._lookup(host, port):
            reason = self.refusal(ip_address(address[0]))
            if reason is None:
                allowed.append(Candidate(family, address))
            else:
                refused = f"{address[0]} ({reason})"
        if not allowed:
            raise AddressRefusedError(refused)
        return allowed

    def refusal(self, address: IPAddress) -> str | None:
        """The reason to refuse `address`, in a word or two; None if it is permitted."""
        address = _unwrapped(address)
        if not self._allows(address):
            return _special_purpose(address)
        inner = _tunnelled(address)
        return None if inner is None else self.refusal(inner)

    def _allows(self, address: IPAddress) -> bool:
        return any(address in network for network in self.allow_networks)

    def _lookup(self, host: str, port: int) -> list[Any]:
        try:
            return self.resolve(host, port, 0, socket.SOCK_STREAM)
        except UnicodeError as error:  # an empty label, or one of more than 63 characters
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from error


ANYWHERE = AddressGuard(("0.0.0.0/0", "::/0"))
"""Permits every address."""


def _unwrapped(address: IPAddress) -> IPAddress:
    """The IPv4 address that a connection to this IPv6 address ends at, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address


def _tunnelled(address: IPAddress) -> IPv4Address | None:
    """The IPv4 address that a 6to4 (RFC 3056) or Teredo (RFC 4380) address sends packets to."""
    if isinstance(address, IPv4Address):
        return None
    if address.sixtofour is not None:
        return address.sixtofour
    return address.teredo[1] if address.teredo is not None else None


def _special_purpose(address: IPAddress) -> str | None:
    if isinstance(address, IPv4Address):
        return next(
            (reason for net, reason in (*_NOT_PUBLIC_V4, *_CLOUD_V4) if address in net), None
        )
    for net, reason in (*_NOT_PUBLIC_V6, *_CLOUD_V6):
        if address in net:
            return reason
    return None if address in _GLOBAL_UNICAST_V6 else "reserved"
