"""Which URLs a webhook may be sent to, by their text alone, at once and without any look-up.

The address of a name is known only at the time of the request, and is checked then
(`callboard.adapters.http.connection`). A URL's text can be refused when a hook is created.
"""

import socket
from collections.abc import Iterable
from ipaddress import ip_address

from attrs import evolve, field, frozen

from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.target import Target, UrlRefusedError, target_of
from callboard.webhooks.hooks.uris import uri_fault
from callboard.webhooks.values.endpoint_options import EndpointOptions, PortRanges

OTHER_PROTOCOLS = frozenset(
    {
        # The "bad ports" of the Fetch standard, 2.9: browsers never call them, since their servers
        # may interpret the text of an HTTP request as commands.
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161),
        *(179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563),
        *(587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190),
        *(5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
        # Files, databases, caches, brokers: attractive targets for an attacker.
        *(445, 1433, 1521, 3306, 3389, 4369, 5432, 5671, 5672, 6379, 9042, 11211, 27017),
    }
)
"""Ports that are called only if `ports` names them."""


def _ports(ports: Iterable[int]) -> frozenset[int]:
    return frozenset(ports)


@frozen
class EndpointRules:
    """The permitted contents of a URL. `ports`: the only ones; empty: all but `OTHER_PROTOCOLS`.

    `credentials`: whether user and password are permitted. `also`: further ports.
    """

    guard: AddressGuard
    ports: frozenset[int] = field(default=frozenset(), converter=_ports)
    credentials: bool = False
    also: PortRanges = ()

    def given(self, options: EndpointOptions | None) -> "EndpointRules":
        """The rules for a hook with these options in effect."""
        if options is None:
            return self
        guard = self.guard
        if options.allow_networks:
            guard = evolve(guard, allow_networks=(*guard.allow_networks, *options.allow_networks))
        credentials = options.url_credentials
        return evolve(
            self,
            guard=guard,
            credentials=self.credentials if credentials is None else credentials,
            also=options.ports or (),
        )

    def target(self, url: str) -> Target:
        """The URL's destination. Raises UrlRefusedError; addresses are left to the connection."""
        target = target_of(url)
        if target.credentials is not None and not self.credentials:
            raise UrlRefusedError("credentials", "it holds a user or a password (or an @)")
        port = target.origin[2]
        if not self._calls(port):
            allowed = ", ".join(str(port) for port in sorted(self.ports))
            why = f"the ports allowed are {allowed}" if allowed else "it is another protocol's"
            raise UrlRefusedError("port", f"port {port} is not called: {why}")
        return target

    def _calls(self, port: int) -> bool:
        if port in self.ports if self.ports else port not in OTHER_PROTOCOLS:
            return True
        return any(low <= port <= high for low, high in self.also)

    def refusal(self, url: str) -> str | None:
        """The reason why a hook must not have this URL, in a sentence; None if it may.

        Checks the text only, never uses a resolver, and so never waits: addresses in any spelling,
        and the names of this machine (RFC 6761, 6.3). Any other name may have another meaning by
        the time of a delivery, and is checked then.
        """
        fault = uri_fault(url)
        try:
            target = self.target(url)
        except UrlRefusedError as error:
            details = (error.detail, fault) if fault else (error.detail,)
            return f"refused: {error}: {'; '.join(dict.fromkeys(details))}"
        if fault is not None:
            return f"refused: url: {fault}"
        for address in written_addresses(target.host, target.origin[2]):
            reason = self.guard.refusal(ip_address(address))
            if reason is not None:
                return f"refused: address: {address} ({reason})"
        return None


def written_addresses(host: str, port: int) -> list[str]:
    """The host's address in any spelling; empty if the host is a name to look up."""
    host = host.strip("[]")
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        found = socket.getaddrinfo(
            host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )
    except (socket.gaierror, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]
