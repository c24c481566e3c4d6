"""The guard judges what the resolver answers, whatever was written in the uri."""

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.http.address_guard import AddressGuard, AddressRefusedError
from callboard.adapters.http.endpoint_rules import written_addresses

REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("10.0.0.1", "private"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.127.255.255", "carrier-grade NAT"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("169.254.169.254", "link-local"),
    ("161.26.0.10", "cloud service"),
    ("166.8.0.1", "cloud service"),
    ("166.11.255.255", "cloud service"),
    ("168.63.129.16", "cloud service"),
    ("::ffff:168.63.129.16", "cloud service"),
    ("64:ff9b::168.63.129.16", "cloud service"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.8", "reserved"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "reserved"),
    ("192.168.1.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("199.36.153.4", "cloud service"),
    ("199.36.153.11", "cloud service"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::127.0.0.1", "reserved"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:169.254.169.254", "link-local"),
    ("::ffff:0:10.0.0.1", "reserved"),
    ("64:ff9b::10.0.0.1", "private"),
    ("64:ff9b::a9fe:a9fe", "link-local"),
    ("64:ff9b:1::8.8.8.8", "local NAT64"),
    ("100::1", "reserved"),
    ("2600:2d00:2:1000::1", "cloud service"),
    ("2600:2d00:2:20ff::1", "cloud service"),
    ("2001::1", "Teredo"),
    ("2001:2::1", "reserved"),
    ("2001:db8::1", "documentation"),
    ("2002:0a00:0001::1", "6to4"),
    ("2002:0808:0808::1", "6to4"),
    ("3fff::1", "documentation"),
    ("5f00::1", "reserved"),
    ("fc00::1", "private"),
    ("fd12:3456::1", "private"),
    ("fe80::1", "link-local"),
    ("fec0::1", "reserved"),
    ("ff02::1", "multicast"),
]

PUBLIC = [
    "1.1.1.1",
    "100.63.255.255",
    "161.27.0.0",
    "166.7.255.255",
    "166.12.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "199.36.153.3",
    "199.36.153.12",
    "2600:2d00:2:3000::1",
    "172.32.0.1",
    "192.0.1.1",
    "198.20.0.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
]


def resolver(*addresses):
    """Answers every name with these addresses."""

    def resolve(_host, port, *_args):
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    return resolve


def addresses(candidates):
    return [candidate.address[0] for candidate in candidates]


@pytest.mark.parametrize(("address", "reason"), REFUSED)
def test_what_is_not_public_unicast_is_refused_by_its_reason(address, reason):
    assert AddressGuard().refusal(ip_address(address)) == reason


@pytest.mark.parametrize(("address", "_reason"), REFUSED)
def test_a_name_that_resolves_to_it_is_refused(address, _reason):
    with pytest.raises(AddressRefusedError, match=address):
        AddressGuard(resolve=resolver(address)).candidates("hooks.example", 80)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address):
    guard = AddressGuard(resolve=resolver(address))
    assert addresses(guard.candidates("hooks.example", 443)) == [address]


@given(st.ip_addresses())
def test_nothing_passes_that_the_standard_library_knows_not_to_be_global(address):
    if not address.is_global:
        assert AddressGuard().refusal(address) is not None


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_the_same_however_it_is_wrapped(address):
    judged = AddressGuard().refusal(address)
    assert AddressGuard().refusal(ip_address(f"::ffff:{address}")) == judged
    assert AddressGuard().refusal(ip_address(f"64:ff9b::{address}")) == judged


@pytest.mark.parametrize(
    "spelling",
    ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0", "127.0.0.1", "localhost"],
)
def test_odd_spellings_are_judged_by_what_they_mean(spelling):
    with pytest.raises(AddressRefusedError):
        AddressGuard().candidates(spelling, 80)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        *((name, ["127.0.0.1"]) for name in ("localhost", "LocalHost.", "a.localhost", "0x7f.1")),
        ("[::1]", ["::1"]),
        ("127.0.0.1x", []),
        *((name, []) for name in ("x.example", "localhost.example", "mylocalhost", "a" * 300)),
    ],
)
def test_an_address_that_is_written_is_known_without_a_look_up(host, addresses):
    """The names of this machine are those of RFC 6761."""
    assert written_addresses(host, 80) == addresses


def test_only_the_public_addresses_of_a_name_are_candidates_in_their_order():
    guard = AddressGuard(resolve=resolver("1.1.1.1", "10.0.0.1", "2606:4700::1", "fd00::1"))
    assert addresses(guard.candidates("hooks.example", 80)) == ["1.1.1.1", "2606:4700::1"]


def test_a_candidate_is_what_a_socket_connects_to():
    (candidate,) = AddressGuard(["::1/128"]).candidates("::1", 8080)
    assert candidate.family == socket.AF_INET6
    assert candidate.address[:2] == ("::1", 8080)


def test_a_name_is_looked_up_once():
    asked = []

    def resolve(host, port, *args):
        asked.append(host)
        return resolver("1.1.1.1")(host, port, *args)

    AddressGuard(resolve=resolve).candidates("hooks.example", 80)
    assert asked == ["hooks.example"]


def test_allowed_networks_pass_and_nothing_beside_them():
    guard = AddressGuard(["10.1.0.0/16", "fd00::/8"])
    assert guard.refusal(ip_address("10.1.2.3")) is None
    assert guard.refusal(ip_address("::ffff:10.1.2.3")) is None
    assert guard.refusal(ip_address("fd00::1")) is None
    assert guard.refusal(ip_address("10.2.0.1")) == "private"
    assert guard.refusal(ip_address("fc00::1")) == "private"


def test_allowing_all_of_ipv6_does_not_open_ipv4():
    guard = AddressGuard(["::/0"])
    assert guard.refusal(ip_address("fe80::1")) is None
    for address in ("::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "2002:0a00:0001::1"):
        assert guard.refusal(ip_address(address)) is not None


def test_a_tunnel_needs_its_network_and_its_end_to_be_allowed():
    tunnel = ip_address("2002:0a00:0001::1")
    assert AddressGuard(["2002::/16"]).refusal(tunnel) == "private"
    assert AddressGuard(["10.0.0.0/8"]).refusal(tunnel) == "6to4"
    assert AddressGuard(["2002::/16", "10.0.0.0/8"]).refusal(tunnel) is None
    teredo = ip_address("2001:0:1:2:3:4:f5ff:fffe")  # ends at 10.0.0.1
    assert AddressGuard(["2001::/32"]).refusal(teredo) == "private"


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_a_name_that_cannot_be_asked_for_does_not_resolve(host):
    with pytest.raises(socket.gaierror):
        AddressGuard().candidates(host, 80)


def test_networks_that_are_none_are_told_at_once():
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 network"):
        AddressGuard(["10.0.0.0/99"])
