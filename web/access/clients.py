"""The client of a request, also behind trusted proxies; and whether a web page sent it."""

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's address, by the peer of the connection and the `X-Forwarded-For` headers.

    Any client may send that header, but each proxy appends the address of its own peer. So it is
    read from its end, past the trusted proxies, to the first address that is not trusted: the
    addresses before that may be forged. `trusted` empty: the header is ignored.
    """
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    address = peer
    while hops and is_one_of(address, trusted):
        address = hops.pop()
        if _parsed(address) is None:
            return peer
    return address


def is_of_another_site(headers: Mapping[str, str], permitted: Collection[str]) -> bool:
    """Whether a page of another site made a browser send the request (Fetch Metadata, W3C).

    `permitted`: the origins that may, by CORS. Browsers omit the headers on plain HTTP, except to
    this machine, and other clients have none: then it is False.
    """
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return False
    return headers.get("sec-fetch-mode") != "cors" or headers.get("origin") not in permitted


def is_one_of(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address belongs to one of the networks."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed
