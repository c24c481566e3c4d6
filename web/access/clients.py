"""Which client a request comes from, also where it comes through proxies of ours."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address of whoever asks, by who connected and the `X-Forwarded-For` headers.

    Anybody may write that header, but each proxy adds the address that it was called from to its
    end. So it is read from its end, past the proxies that are trusted, to the first that is not:
    what stands before that may be made up. `trusted` empty: the header is not believed at all.
    """
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    address = peer
    while hops and _is_one_of(address, trusted):
        address = hops.pop()
        if _parsed(address) is None:
            return peer
    return address


def _is_one_of(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
