"""No hook leads into the operator's network: hostile urls and DNS answers, on real sockets.

A canary listens on loopback, at both address families. Nothing here may so much as connect to it.
"""

import socket
import threading
from contextlib import ExitStack

import pytest

from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.receiver.server import Answer
from callboard.webhooks.retries.outcome import ClientError
from support.http import answer
from support.receiver import Receiver

PUBLIC = "127.0.0.2"
"""Stands for a public address: the one that the guard of these tests lets through."""

# Urls that are refused by what is written in them: url, kind, and what the reason says.
WRITTEN = [
    # Loopback in all its spellings
    ("http://127.0.0.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://127.0.0.53:{port}/", "address", "127.0.0.53 (loopback)"),
    ("http://127.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://127.0.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://2130706433:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://017700000001:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://0177.0.0.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://0000000177.0.0.01:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://0x7f000001:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://0x7f.0x0.0x0.0x1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://0X7F.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://0x7f.0.01:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://%31%32%37.0.0.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("HTTP://127.0.0.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://localhost:{port}/", "address", "(loopback)"),
    ("http://LOCALHOST:{port}/", "address", "(loopback)"),
    ("http://l%6fcalhost:{port}/", "address", "(loopback)"),
    # IPv6, and IPv4 within it
    ("http://[::1]:{port}/", "address", "::1 (loopback)"),
    ("http://[0:0:0:0:0:0:0:1]:{port}/", "address", "::1 (loopback)"),
    ("http://[::ffff:127.0.0.1]:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://[::ffff:7f00:1]:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://[::127.0.0.1]:{port}/", "address", "(reserved)"),
    ("http://[::]:{port}/", "address", ":: (unspecified)"),
    ("http://[64:ff9b::7f00:1]:{port}/", "address", "(loopback)"),
    ("http://[64:ff9b::169.254.169.254]:{port}/", "address", "(link-local)"),
    ("http://[64:ff9b:1::7f00:1]:{port}/", "address", "(local NAT64)"),
    ("http://[2002:7f00:1::]:{port}/", "address", "(6to4)"),
    ("http://[2001:0:0:0:0:0:80ff:fffe]:{port}/", "address", "(Teredo)"),
    ("http://[fd00:ec2::254]:{port}/", "address", "(private)"),
    ("http://[fe80::1]:{port}/", "address", "(link-local)"),
    ("http://[ff02::1]:{port}/", "address", "(multicast)"),
    ("http://[fe80::1%25lo]:{port}/", "url", "holds a %"),
    ("http://[::1%25lo]:{port}/", "url", "holds a %"),
    ("http://[::1%lo]:{port}/", "url", "holds a %"),
    # Everything else that is ours
    ("http://0:{port}/", "address", "0.0.0.0 (unspecified)"),
    ("http://0.0.0.0:{port}/", "address", "0.0.0.0 (unspecified)"),
    ("http://10.0.0.1/", "address", "10.0.0.1 (private)"),
    ("http://172.16.0.1/", "address", "(private)"),
    ("http://192.168.0.1/", "address", "(private)"),
    ("http://3232235521/", "address", "192.168.0.1 (private)"),
    ("http://100.100.100.200/latest/meta-data/", "address", "(carrier-grade NAT)"),
    ("http://169.254.169.254/latest/meta-data/", "address", "(link-local)"),
    ("http://2852039166/latest/meta-data/", "address", "169.254.169.254 (link-local)"),
    ("http://0251.0376.0251.0376/latest/", "address", "169.254.169.254 (link-local)"),
    ("http://0xa9fea9fe/latest/", "address", "169.254.169.254 (link-local)"),
    ("http://169.254.43518/latest/", "address", "169.254.169.254 (link-local)"),
    ("http://[::ffff:a9fe:a9fe]/latest/", "address", "169.254.169.254 (link-local)"),
    ("http://224.0.0.1/", "address", "(multicast)"),
    ("http://255.255.255.255/", "address", "(reserved)"),
    # Hosts that readers take for different ones
    ("http://hooks.example@127.0.0.1:{port}/", "credentials", "an @"),
    ("http://hooks.example:80@127.0.0.1:{port}/", "credentials", "an @"),
    ("http://hooks.example%2f@127.0.0.1:{port}/", "credentials", "an @"),
    ("http://a@b@127.0.0.1:{port}/", "credentials", "an @"),
    ("http://1.1.1.1 &@127.0.0.1:{port}/", "credentials", "an @"),
    ("http://@127.0.0.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://127.0.0.1:{port}#@hooks.example/", "address", "127.0.0.1 (loopback)"),
    ("http://127.0.0.1:{port}?@hooks.example/", "address", "127.0.0.1 (loopback)"),
    ("http://127.0.0.1:{port}\\@hooks.example/", "url", "backslash"),
    ("http://hooks.example\\@127.0.0.1:{port}/", "url", "backslash"),
    ("http://127.0.0.1:{port}\\.hooks.example/", "url", "backslash"),
    ("http:\\\\127.0.0.1:{port}/", "scheme", "http://"),
    ("http:/127.0.0.1:{port}/", "scheme", "http://"),
    ("http:127.0.0.1:{port}/", "scheme", "http://"),
    ("//127.0.0.1:{port}/", "scheme", "http://"),
    ("http:///127.0.0.1:{port}/", "url", "No host"),
    ("http://127.0.0.1:{port}:80/", "url", "not a valid host"),
    ("http://[127.0.0.1]:{port}/", "url", "not a valid host"),
    ("http://127.0.0.1.:{port}/", "url", "ends in a number"),
    ("http://127.0.0.1.1:{port}/", "url", "ends in a number"),
    ("http://4294967297:{port}/", "url", "ends in a number"),
    ("http://0x17f000001:{port}/", "url", "ends in a number"),
    ("http://127.0.0.1%00.hooks.example:{port}/", "url", "control character"),
    ("http://127.0.0.1%2f.hooks.example:{port}/", "url", "holds a %"),
    ("http://127.0.0.1%23.hooks.example:{port}/", "url", "holds a %"),
    ("http://127.0.0.1%5c.hooks.example:{port}/", "url", "holds a %"),
    ("http://127.0.0.1\t:{port}/", "url", "control characters"),
    ("http://127.0.0.1:{port}/\r\nHost: hooks.example", "url", "control characters"),
    # Dots, digits and letters that only look so
    ("http://127\u30020\u30020\u30021:{port}/", "url", "IDNA"),
    ("http://127\uff0e0\uff0e0\uff0e1:{port}/", "url", "IDNA"),
    ("http://\uff11\uff12\uff17.0.0.1:{port}/", "url", "IDNA"),
    ("http://\u2460\u2461\u2466.0.0.1:{port}/", "url", "IDNA"),
    ("http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:{port}/", "url", "IDNA"),
    # Other schemes and other protocols
    ("file:///etc/passwd", "scheme", "http://"),
    ("gopher://127.0.0.1:{port}/_SET%20a%20b", "scheme", "http://"),
    ("dict://127.0.0.1:{port}/info", "scheme", "http://"),
    ("ftp://127.0.0.1:{port}/", "scheme", "http://"),
    ("jar:http://127.0.0.1:{port}/!/", "scheme", "http://"),
    (" http://127.0.0.1:{port}/", "scheme", "http://"),
    ("http://hooks.example:25/", "port", "port 25"),
    ("http://hooks.example:6379/", "port", "port 6379"),
    ("https://hooks.example:22/", "port", "port 22"),
]

# What a resolver says of a name: names that wear an address, CNAMEs that end inside, and the rest.
ANSWERED = [
    ("127.0.0.1.nip.example", ["127.0.0.1"], "127.0.0.1 (loopback)"),
    ("localtest.example", ["::1"], "::1 (loopback)"),
    ("both.example", ["127.0.0.1", "::1"], "(loopback)"),
    ("metadata.google.internal", ["169.254.169.254"], "(link-local)"),
    ("169-254-169-254.sslip.example", ["169.254.169.254"], "(link-local)"),
    ("instance-data", ["169.254.169.254"], "(link-local)"),
    ("intranet", ["10.20.30.40"], "(private)"),
    ("rabbit.cluster.local", ["172.20.0.5"], "(private)"),
    ("router.example", ["192.168.1.1"], "(private)"),
    ("mapped.example", ["::ffff:127.0.0.1"], "(loopback)"),
    ("nat64.example", ["64:ff9b::7f00:1"], "(loopback)"),
    ("sixtofour.example", ["2002:7f00:1::1"], "(6to4)"),
    ("teredo.example", ["2001:0:4136:e378:8000:63bf:80ff:fffe"], "(Teredo)"),
    ("unique-local.example", ["fd12:3456::1"], "(private)"),
    ("zero.example", ["0.0.0.0"], "(unspecified)"),
    ("six-zero.example", ["::"], "(unspecified)"),
    ("broadcast.example", ["255.255.255.255"], "(reserved)"),
    ("many.example", [f"10.0.0.{n}" for n in range(1, 40)], "(private)"),
    ("trailing.example.", ["127.0.0.1"], "(loopback)"),
    ("xn--lclhst-8ta.example", ["127.0.0.1"], "(loopback)"),
]

# Where a public endpoint sends us on to.
LOCATIONS = [
    ("http://127.0.0.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://[::1]:{port}/", "address", "::1 (loopback)"),
    ("//127.0.0.1:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://2130706433:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://169.254.169.254/latest/", "address", "(link-local)"),
    ("http://inside.example:{port}/", "address", "127.0.0.1 (loopback)"),
    ("http://user:password@127.0.0.1:{port}/", "credentials", "an @"),
    ("http://127.0.0.2:6379/", "port", "port 6379"),
    ("file:///etc/passwd", "scheme", "http://"),
    ("gopher://127.0.0.1:{port}/", "scheme", "http://"),
    ("http://127.0.0.1\\@hooks.example:{port}/", "url", "backslash"),
    ("http://[127.0.0.1:{port}/", "url", ""),
]


@pytest.fixture(scope="module")
def canary():
    """Receivers on one port of both loopback addresses; a connection to either is the defect."""
    with ExitStack() as stack:
        four = stack.enter_context(Receiver("127.0.0.1"))
        six = stack.enter_context(Receiver("::1", four.port))
        yield four
        assert (four.connections, six.connections) == (0, 0)


def resolver(names):
    """getaddrinfo for these names; for addresses, and names of the hosts file, the real one."""

    def resolve(host, port, *args):
        if host in names:
            return [answer(address, port) for address in names[host]]
        return socket.getaddrinfo(host, port, *args)

    return resolve


@pytest.fixture
def transport(make):
    """transport(names, allow, **arguments) -> one that knows these names."""

    def transport(names=(), allow=(), **arguments):
        guard = AddressGuard(allow, resolver(dict(names)))
        return make(2, 5, guard=guard, **arguments)

    return transport


def post(transport, url):
    return transport.send("POST", url, (("X-Hook-ID", "h"),), b"{}")


def assert_refused(outcome, kind, reason):
    assert isinstance(outcome, ClientError), outcome
    assert outcome.kind == f"refused: {kind}"
    assert outcome.detail is not None and reason in outcome.detail


def test_the_table_is_large_enough():
    assert len({row[0] for row in (*WRITTEN, *ANSWERED, *LOCATIONS)}) >= 60


@pytest.mark.parametrize(("url", "kind", "reason"), WRITTEN)
def test_urls_are_refused_when_they_are_called(transport, canary, url, kind, reason):
    assert_refused(post(transport(), url.format(port=canary.port)), kind, reason)
    assert canary.connections == 0


@pytest.mark.parametrize(("url", "kind", "reason"), WRITTEN)
def test_urls_are_refused_when_a_hook_is_made(url, kind, reason):
    refusal = EndpointRules(AddressGuard()).refusal(url.format(port=4444))
    assert refusal is not None and refusal.startswith(f"refused: {kind}: ")
    assert reason in refusal


@pytest.mark.parametrize(("name", "addresses", "reason"), ANSWERED)
def test_names_are_refused_by_what_they_mean(transport, canary, name, addresses, reason):
    outcome = post(transport({name: addresses}), f"http://{name}:{canary.port}/")
    assert_refused(outcome, "address", reason)
    assert canary.connections == 0


@pytest.mark.parametrize(("name", "addresses", "reason"), ANSWERED)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_not_even_a_proxy_is_asked_for_them(transport, canary, scheme, name, addresses, reason):
    proxied = transport({name: addresses}, proxy=f"http://127.0.0.1:{canary.port}")
    assert_refused(post(proxied, f"{scheme}://{name}/"), "address", reason)
    assert canary.connections == 0


@pytest.mark.parametrize(("location", "kind", "reason"), LOCATIONS)
@pytest.mark.parametrize("status", [302, 307])
def test_redirects_are_refused_at_the_hop_that_leads_inside(
    transport, canary, status, location, kind, reason
):
    names = {"hooks.example": [PUBLIC], "inside.example": ["127.0.0.1"]}
    here = location.format(port=canary.port)
    with Receiver(PUBLIC, canary.port) as public:
        public.answer("/first", Answer(302, headers={"Location": "/second"}))
        public.answer("/second", Answer(status, headers={"Location": here}))
        following = transport(names, [f"{PUBLIC}/32"], follow_redirects=5)
        outcome = post(following, f"http://hooks.example:{public.port}/first")
        following.close()
        assert public.count == 2
    assert_refused(outcome, kind, reason)
    assert canary.connections == 0


def test_a_resolver_that_changes_its_answer_gains_nothing(make, canary):
    """Rebinding: every other answer leads inside, whoever asks in between."""
    lock, turns = threading.Lock(), []

    def resolve(_host, port, *_args):
        with lock:
            turns.append(PUBLIC if len(turns) % 2 == 0 else "127.0.0.1")
            return [answer(turns[-1], port)]

    with Receiver(PUBLIC, canary.port) as public:
        public.answer("/", Answer(headers={"Connection": "close"}))
        url = f"http://hooks.example:{public.port}/"
        hooks = make(2, 5, guard=AddressGuard([f"{PUBLIC}/32"], resolve))
        outcomes = [post(hooks, url) for _ in range(20)]
        assert public.count == 10
    for outcome in outcomes[1::2]:
        assert_refused(outcome, "address", "127.0.0.1 (loopback)")
    assert len(turns) == 20
    assert canary.connections == 0


def test_a_bad_address_among_many_is_not_even_the_last_resort(transport, canary):
    """Nobody listens at the public addresses: the next to try would be the canary."""
    names = {"many.example": [PUBLIC, "127.0.0.1", "::1", PUBLIC, "::ffff:127.0.0.1"]}
    outcome = post(transport(names, [f"{PUBLIC}/32"]), f"http://many.example:{canary.port}/")
    assert outcome.kind == "failed_connect: econnrefused"
    assert canary.connections == 0


def test_a_network_that_is_allowed_opens_nothing_beside_it(transport, canary):
    allowing = transport(allow=["127.0.0.9/32", "::/0"])
    for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"):
        assert_refused(post(allowing, f"http://{host}:{canary.port}/"), "address", "(loopback)")
    assert canary.connections == 0
