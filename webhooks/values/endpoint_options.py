"""What single hooks and accounts may permit beyond the node's settings: docs/adr/0046.

The members have the names of the settings in `[delivery]`. Most of them loosen a protection of the
node's network or of the receiver's data, so the node's settings name those that hooks and accounts
may use.
"""

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_network
from typing import Any

from attrs import evolve, frozen

from callboard.webhooks.values.pickling import Positional

LOOSENING = ("tls_verify", "url_credentials", "follow_redirects", "ports", "allow_networks")
"""The members that need a permission. A `ca_bundle` needs none: the operator provides the file."""
NAMES = (*LOOSENING, "ca_bundle")
MOST_REDIRECTS = 10
MOST_MEMBERS = 50
"""The most ports and networks of a hook."""

PortRanges = tuple[tuple[int, int], ...]

_NAMES = frozenset(NAMES)
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class InvalidEndpointOption(ValueError):
    """An invalid member; the text names it and the permitted values."""


@frozen
class EndpointOptions(Positional):
    """Deviations from the node's settings for a hook's endpoint; None: as the node's.

    `tls_verify`: whether its certificate is checked. `ca_bundle`: the name of a file with the
    authorities that check it. `ports`, `allow_networks`: permitted besides the node's; port ranges
    include both ends.
    """

    tls_verify: bool | None = None
    ca_bundle: str | None = None
    url_credentials: bool | None = None
    follow_redirects: int | None = None
    ports: PortRanges | None = None
    allow_networks: tuple[str, ...] | None = None

    def over(self, other: "EndpointOptions | None") -> "EndpointOptions":
        """These, and those of `other` where these say nothing."""
        if other is None:
            return self
        own = {name: value for name in NAMES if (value := getattr(self, name)) is not None}
        return evolve(other, **own)

    def loosened(self) -> tuple[str, ...]:
        """The members that permit more than the strictest setting."""
        return tuple(
            name
            for name in LOOSENING
            if (getattr(self, name) is False if name == "tls_verify" else getattr(self, name))
        )

    def only(self, granted: Collection[str]) -> "EndpointOptions":
        """Without the loosening members that are not granted."""
        refused = [name for name in self.loosened() if name not in granted]
        return evolve(self, **dict.fromkeys(refused)) if refused else self

    def as_json(self) -> dict[str, Any]:
        """The members of a document, which `parse_endpoint_options` reads."""
        members = {name: getattr(self, name) for name in NAMES}
        if self.ports is not None:
            members["ports"] = [f"{low}-{high}" for low, high in self.ports]
        return {name: value for name, value in members.items() if value is not None}


NOTHING = EndpointOptions()

AS_KAZOO = EndpointOptions(
    tls_verify=False,
    url_credentials=True,
    follow_redirects=5,
    ports=((1, 65535),),
    allow_networks=("0.0.0.0/0", "::/0"),
)
"""Kazoo's behaviour: it checks no certificate, and Erlang's httpc follows up to 5 redirects."""


@frozen
class Grants:
    """What a node lets hooks and accounts permit. `kazoo`: hooks of Kazoo behave as in Kazoo."""

    hooks: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    kazoo: bool = False

    def settled(
        self, own: EndpointOptions | None, account: Mapping[str, Any], *, checked: bool
    ) -> EndpointOptions | None:
        """The options in effect: the hook's, else its account's, else Kazoo's.

        `account`: its document `configs_webhooks`, where invalid members count as none. `checked`:
        the hook was saved by Callboard's rules, so that Kazoo's do not apply to it.
        """
        found = AS_KAZOO if self.kazoo and not checked else None
        if (theirs := _of_account(account)) is not None:
            found = theirs.only(self.accounts).over(found)
        if own is not None:
            found = own.only(self.hooks).over(found)
        return None if found == NOTHING else found


NO_GRANTS = Grants()


def parse_endpoint_options(document: Mapping[str, Any]) -> EndpointOptions | None:
    """The options in a document; None if it has none. Raises InvalidEndpointOption."""
    if _NAMES.isdisjoint(document):
        return None
    options = EndpointOptions(
        tls_verify=_flag(document, "tls_verify"),
        ca_bundle=_file_name(document.get("ca_bundle")),
        url_credentials=_flag(document, "url_credentials"),
        follow_redirects=_redirects(document.get("follow_redirects")),
        ports=_ports(document.get("ports")),
        allow_networks=_networks(document.get("allow_networks")),
    )
    return None if options == NOTHING else options


def _of_account(document: Mapping[str, Any]) -> EndpointOptions | None:
    if _NAMES.isdisjoint(document):
        return None
    found = NOTHING
    for name in NAMES:
        try:
            one = parse_endpoint_options({name: document.get(name)})
        except InvalidEndpointOption:
            continue
        found = found if one is None else one.over(found)
    return found


def _flag(document: Mapping[str, Any], name: str) -> bool | None:
    value = document.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidEndpointOption(f"{name} {value!r:.100} is neither true nor false")


def _redirects(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= MOST_REDIRECTS:
        raise InvalidEndpointOption(
            f"follow_redirects {value!r:.100} is no whole number from 0 to {MOST_REDIRECTS}"
        )
    return value


def _members(value: Any, name: str, of: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_MEMBERS:
        raise InvalidEndpointOption(f"{name} is no list of at most {MOST_MEMBERS} {of}")
    return value


def _ports(value: Any) -> PortRanges | None:
    if value is None:
        return None
    found = []
    for member in _members(value, "ports", "ports"):
        text = str(member) if type(member) in (int, str) else ""
        match = _PORTS.fullmatch(text)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= 65535:
            raise InvalidEndpointOption(
                f'ports has {member!r:.100}: use ports from 1 to 65535, or ranges as "8000-8010"'
            )
        found.append((low, high))
    return tuple(found)


def _networks(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    found = []
    for member in _members(value, "allow_networks", "networks"):
        try:
            found.append(str(ip_network(member if isinstance(member, str) else "")))
        except ValueError:
            raise InvalidEndpointOption(
                f'allow_networks has {member!r:.100}: use networks such as "10.1.0.0/16"'
            ) from None
    return tuple(found)


def _file_name(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _FILE_NAME.fullmatch(value):
        raise InvalidEndpointOption(f"ca_bundle {value!r:.100} is no name of a file")
    return value
