"""What the settings decide of a request: where to, through what, how large, and shown as whom."""

import shutil
import socket
import ssl
import subprocess
import time

import pytest
import trustme

from callboard.actors.delivery.transports import check, check_hook, doubt, rules, transport
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.curl_request import Proxy, proxy_of
from callboard.adapters.http.endpoint_rules import EndpointRules
from callboard.adapters.http.policy import HttpPolicy
from callboard.adapters.http.redirects import HttpRequest
from callboard.adapters.http.target import target_of
from callboard.adapters.receiver.server import Answer, Close, Drip
from callboard.config.settings import DeliverySettings, Settings
from callboard.webhooks.hooks.hook import InvalidHook
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.outcome import ClientError
from callboard.webhooks.values.endpoint_options import EndpointOptions
from support.hooks import hooks_with
from support.http import LOOPBACK, resolves_to, server_context
from support.patience import patient
from support.proxies import forward_proxy
from support.receiver import Receiver

SIGNED = (
    ("Content-Type", "application/json"),
    ("X-Hook-ID", "h1"),
    ("X-Account-ID", "a1"),
    ("X-Api-Key", "secret"),
    ("Authorization", "Bearer secret"),
    ("webhook-id", "d1"),
    ("webhook-signature", "v1,abc"),
    ("webhook-timestamp", "1"),
)


def post(transport, url, body=b"x", **arguments):
    return transport.send("POST", url, SIGNED, body, **arguments)


def kind(outcome):
    assert isinstance(outcome, ClientError), outcome
    return outcome.kind


def goes_to(location, status=302):
    return Answer(status, b"elsewhere", {"Location": location})


# Ports, credentials, sizes


BAD_PORTS = """
    1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113
    115 117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554
    556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665
    6666 6667 6668 6669 6679 6697 10080
"""
"""The Fetch standard's table of bad ports (2.9), but for 0, which no request can name."""
DATABASES_AND_BROKERS = {
    "microsoft-ds": 445,
    "ms-sql": 1433,
    "oracle": 1521,
    "mysql": 3306,
    "rdp": 3389,
    "epmd": 4369,
    "postgresql": 5432,
    "amqps": 5671,
    "amqp": 5672,
    "redis": 6379,
    "cassandra": 9042,
    "memcached": 11211,
    "mongodb": 27017,
}


def test_ports_of_other_protocols_are_not_called_and_those_of_web_servers_are():
    """Those of the table, those beside each of them, and some of all others."""
    known = rules(DeliverySettings())
    bad = {int(port) for port in BAD_PORTS.split()} | {*DATABASES_AND_BROKERS.values()}
    tried = {port + step for port in bad for step in (-1, 0, 1)} - {0} | {*range(1, 65536, 251)}
    refused = {
        port
        for port in tried
        if "refused: port" in (known.refusal(f"http://hooks.example:{port}/") or "")
    }
    assert refused == bad
    for port in (80, 443, 3000, 5000, 8000, 8080, 8443, 9000, 65535):
        assert known.refusal(f"http://hooks.example:{port}/") is None


def test_only_the_ports_that_are_set_are_called(make, receiver):
    url = f"{receiver.url}/"
    assert post(make(ports=[receiver.port]), url).status == 200
    outcome = post(make(ports=[443, 80]), url)
    assert kind(outcome) == "refused: port"
    assert "80, 443" in outcome.detail
    assert rules(DeliverySettings(ports=[25])).refusal("http://hooks.example:25/") is None
    assert "port 443" in rules(DeliverySettings(ports=[80])).refusal("https://hooks.example/")


def test_credentials_are_sent_as_basic_authorization_where_they_are_allowed(make, receiver):
    url = f"http://user:p%40ss%20%C3%BC@127.0.0.1:{receiver.port}/"
    assert kind(make().send("POST", url, (), b"x")) == "refused: credentials"
    assert receiver.connections == 0
    allowing = make(credentials=True)
    assert allowing.send("POST", url, (), b"x").status == 200
    assert post(allowing, url).status == 200
    first, own = (request.headers["authorization"] for request in receiver.requests)
    assert first == "Basic dXNlcjpwQHNzIMO8"
    assert own == "Bearer secret"
    assert receiver.requests[0].headers["host"] == f"127.0.0.1:{receiver.port}"


def test_a_payload_that_is_too_large_is_not_sent(make, receiver):
    transport = make(max_payload=10)
    assert post(transport, receiver.url, b"x" * 10).status == 200
    assert post(transport, f"{receiver.url}/?{'q' * 10}", None).status == 200
    outcome = post(transport, receiver.url, b"x" * 11)
    assert outcome == ClientError("refused: payload", "11 bytes: 10 are allowed")
    assert kind(transport.send("GET", f"{receiver.url}/?{'q' * 11}", (), None)) == (
        "refused: payload"
    )
    assert receiver.count == 2


def test_without_options_of_its_own_a_hook_gets_the_node_s_tls_which_verifies():
    policy = HttpPolicy(AddressGuard())
    request = HttpRequest("POST", "https://hooks.example/", (), b"x")
    for endpoint in (None, EndpointOptions()):
        hop = next(policy.exchange(request, None, "a1", endpoint))
        assert (hop.tls, hop.reach.tls_verify, hop.reach.ca_bundle) == (None, True, None)
    unsafe = next(policy.exchange(request, None, "a1", EndpointOptions(tls_verify=False)))
    assert (unsafe.tls.verify, unsafe.reach.tls_verify) == (False, False)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_keeps_method_and_body(make, receiver, status):
    receiver.answer("/a", goes_to("/b?c=d", status))
    assert post(make(follow_redirects=1), f"{receiver.url}/a").status == 200
    second = receiver.requests[1]
    assert (second.method, second.path, second.query, second.body) == ("POST", "/b", "c=d", b"x")
    assert second.headers["webhook-signature"] == "v1,abc"
    assert second.headers["x-api-key"] == "secret"
    assert receiver.connections == 1


def test_see_other_is_followed_by_a_get_without_the_body(make, receiver):
    receiver.answer("/a", goes_to("b", 303))
    assert post(make(follow_redirects=1), f"{receiver.url}/a").status == 200
    second = receiver.requests[1]
    assert (second.method, second.path, second.body) == ("GET", "/b", b"")
    assert "content-type" not in second.headers


def test_a_get_after_a_large_body_that_led_elsewhere_has_no_body(make, receiver):
    transport = make(follow_redirects=1)
    receiver.answer("/a", goes_to("b", 303))
    assert transport.send("POST", f"{receiver.url}/a", (), 20_000 * b"x").status == 200
    assert transport.send("GET", receiver.url, (), None).status == 200
    assert [request.method for request in receiver.requests] == ["POST", "GET", "GET"]
    assert "content-length" not in receiver.requests[2].headers


def test_another_origin_gets_neither_credentials_nor_signatures(make, receiver):
    with Receiver("127.0.0.2") as other:
        receiver.answer("/", goes_to(other.url, 307))
        assert post(make(follow_redirects=1), receiver.url).status == 200
        headers = other.requests[0].headers
    assert other.requests[0].body == b"x"
    assert headers["webhook-id"] == "d1"
    assert headers["x-hook-id"] == "h1"
    assert headers["content-type"] == "application/json"
    for name in ("authorization", "webhook-signature", "webhook-timestamp", "x-api-key"):
        assert name not in headers


def test_credentials_of_the_url_stay_at_its_origin(make, receiver):
    with Receiver("127.0.0.2") as other:
        receiver.answer("/a", goes_to("/b"))
        receiver.answer("/b", goes_to(other.url))
        url = f"http://user:password@127.0.0.1:{receiver.port}/a"
        sent = make(follow_redirects=5, credentials=True).send("POST", url, (), b"x")
        assert sent.status == 200
        assert "authorization" not in other.requests[0].headers
    assert all("authorization" in request.headers for request in receiver.requests)


def test_after_so_many_redirects_the_last_one_is_the_answer(make, receiver):
    receiver.answer("/", goes_to("/"))
    assert post(make(follow_redirects=3), receiver.url).status == 302
    assert receiver.count == 4


@pytest.mark.parametrize("answer", [Answer(302), Answer(304, headers={"Location": "/b"})])
def test_what_leads_nowhere_is_an_answer(make, receiver, answer):
    receiver.answer("/", answer)
    assert post(make(follow_redirects=3), receiver.url).status == answer.status
    assert receiver.count == 1


def test_a_connection_that_turns_out_stale_after_a_redirect_costs_nothing(make, receiver):
    answers = iter((Close(), Answer(202)))
    receiver.answer("/a", goes_to("/b"))
    receiver.answer("/b", lambda _request: next(answers))
    assert post(make(follow_redirects=1), f"{receiver.url}/a").status == 202
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


def test_a_redirect_after_a_stale_connection_uses_the_one_that_replaced_it(make, receiver):
    answers = iter((Close(), goes_to("/b")))
    receiver.answer("/a", lambda _request: next(answers))
    transport = make(follow_redirects=1)
    assert post(transport, f"{receiver.url}/first").status == 200
    assert post(transport, f"{receiver.url}/a").status == 200
    assert [request.connection for request in receiver.requests] == [1, 1, 2, 2]


def test_redirects_share_the_deadline(make, receiver):
    receiver.answer("/a", Answer(302, headers={"Location": "/b"}, delay_s=0.3))
    receiver.answer("/b", Drip(pause_s=0.02))
    start = time.monotonic()
    assert kind(post(make(request_timeout_s=0.6, follow_redirects=9), f"{receiver.url}/a")) == (
        "timeout"
    )
    assert time.monotonic() - start < patient(5)


def test_a_redirect_does_not_lead_out_of_tls(make, authority, receiver):
    with Receiver(tls=server_context(authority, "127.0.0.1")) as secure:
        secure.answer("/", goes_to(receiver.url))
        outcome = post(make(follow_redirects=3), secure.url)
    assert outcome == ClientError("refused: redirect", "it leads from https to http")
    assert receiver.connections == 0


@pytest.mark.parametrize(
    ("url", "origin", "host_field"),
    [
        ("http://xx.example.xx/", ("http", "xx.example.xx", 80), "xx.example.xx"),
        ("http://a.example:80/", ("http", "a.example", 80), "a.example"),
        ("https://a.example/", ("https", "a.example", 443), "a.example"),
        ("https://a.example:443/", ("https", "a.example", 443), "a.example"),
        ("https://a.example:80/", ("https", "a.example", 80), "a.example:80"),
    ],
)
def test_the_ports_of_the_schemes_are_80_and_443(url, origin, host_field):
    """RFC 9110, 4.2.1 and 4.2.2."""
    target = target_of(url)
    assert (target.origin, target.host_field, target.address) == (origin, host_field, origin[1])


# A proxy


@pytest.mark.parametrize("host", ["a.1x", "a.0y.", "1.x"])
def test_a_name_that_ends_in_no_number_is_a_name(host):
    """https://url.spec.whatwg.org/#ends-in-a-number-checker"""
    assert target_of(f"http://{host}/").host == host


def test_a_proxy_by_its_url():
    assert proxy_of("") is None
    assert proxy_of("http://proxy") == Proxy("proxy", 80)
    assert proxy_of("http://user:p%40ss@[::1]:3128") == Proxy("::1", 3128, "user:p@ss")
    assert proxy_of("http://xx.example.xx") == Proxy("xx.example.xx", 80)
    assert "p@ss" not in repr(proxy_of("http://user:p%40ss@proxy"))


def through(proxy, user=""):
    return f"http://{user}127.0.0.1:{proxy.port}"


def test_http_is_asked_of_the_proxy(make, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    with forward_proxy() as proxy:
        hooks = make(
            guard=AddressGuard(resolve=resolves_to(["1.1.1.1"])), proxy=through(proxy, "me:p%40ss@")
        )
        for _ in range(2):
            assert post(hooks, "http://B\u00fccher.example:8080/a b?c=d#e").status == 202
        hooks.close()
    head = proxy.heads[0].split("\r\n")
    assert head[0] == "POST http://xn--bcher-kva.example:8080/a%20b?c=d HTTP/1.1"
    assert "Host: xn--bcher-kva.example:8080" in head
    assert "proxy-authorization: basic bwu6cebzcw==" in proxy.heads[0].lower()
    assert len(proxy.heads) == 2


def test_https_is_tunnelled_and_verified_end_to_end(make, authority):
    guard = AddressGuard(resolve=resolves_to(["1.1.1.1"]))
    with (
        Receiver(tls=server_context(authority, "hooks.example")) as secure,
        forward_proxy(("127.0.0.1", secure.port)) as proxy,
    ):
        hooks = make(guard=guard, proxy=through(proxy, "me:secret@"))
        for _ in range(2):
            assert post(hooks, "https://hooks.example/a").status == 200
        assert kind(post(hooks, "https://other.example/a")) == "tls: certificate of another name"
        hooks.close()
    assert [request.path for request in secure.requests] == ["/a", "/a"]
    assert "proxy-authorization" not in secure.requests[0].headers
    assert len(proxy.heads) == 2
    assert proxy.heads[0].startswith("CONNECT hooks.example:443 ")
    assert "Basic bWU6c2VjcmV0" in proxy.heads[0]
    assert "abc" not in proxy.heads[0]


def test_a_tunnel_that_turns_out_stale_is_dug_anew(make, authority):
    answers = iter((Answer(), Close(), Answer(202)))
    with (
        Receiver(tls=server_context(authority, "hooks.example")) as secure,
        forward_proxy(("127.0.0.1", secure.port)) as proxy,
    ):
        secure.answer("/", lambda _request: next(answers))
        hooks = make(guard=AddressGuard(resolve=resolves_to(["1.1.1.1"])), proxy=through(proxy))
        assert post(hooks, "https://hooks.example/").status == 200
        assert post(hooks, "https://hooks.example/").status == 202
        hooks.close()
    assert len(proxy.heads) == 2


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Authenticate", "SSH-2.0"])
def test_a_proxy_that_refuses(make, status):
    with forward_proxy(status=status) as proxy:
        hooks = make(guard=AddressGuard(resolve=resolves_to(["1.1.1.1"])), proxy=through(proxy))
        assert kind(post(hooks, "https://hooks.example/")) == "failed_connect: proxy"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_says_nothing(make, scheme):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hooks = make(
            connect_timeout_s=0.3,
            request_timeout_s=0.5,
            guard=AddressGuard(resolve=resolves_to(["1.1.1.1"])),
            proxy=f"http://127.0.0.1:{silent.getsockname()[1]}",
        )
        start = time.monotonic()
        said = kind(post(hooks, f"{scheme}://hooks.example/"))
        assert time.monotonic() - start < patient(5)
    assert said == ("timeout" if scheme == "http" else "failed_connect: timeout")


def knows_no_name(*_args):
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


def test_a_proxy_does_not_resolve_for_us(make):
    with forward_proxy() as proxy:
        hooks = make(proxy=through(proxy), resolve=knows_no_name)
        assert kind(post(hooks, "http://hooks.example/")) == "failed_connect: nxdomain"
        assert proxy.heads == []


# Client certificates


@pytest.fixture
def certificates(authority, tmp_path):
    """A folder with one for all, one of account a1, one without a key, one that is encrypted."""
    folder = tmp_path / "certificates"
    (folder / "a1").mkdir(parents=True)
    for path, name in (("all.pem", "all"), ("a1/own.pem", "own"), ("a1/all.pem", "a1")):
        issued = authority.issue_cert(f"{name}.client.example")
        issued.private_key_and_cert_chain_pem.write_to_path(str(folder / path))
    authority.cert_pem.write_to_path(str(folder / "no-key.pem"))
    (tmp_path / "outside.pem").write_bytes((folder / "all.pem").read_bytes())
    return folder


@pytest.fixture
def demanding(authority):
    """A server that talks to those alone who show a certificate of our authority."""
    context = server_context(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with Receiver(tls=context) as receiver:
        yield receiver


def test_a_client_certificate_is_shown(make, certificates, demanding):
    hooks = make(client_certificates=certificates)
    for _ in range(2):
        assert post(hooks, demanding.url, certificate="all.pem").status == 200
    assert post(hooks, demanding.url, certificate="own.pem", account_id="a1").status == 200
    assert isinstance(post(hooks, demanding.url), ClientError)
    assert demanding.count == 3


def test_a_client_certificate_is_shown_through_a_proxy(make, certificates, demanding):
    with forward_proxy(("127.0.0.1", demanding.port)) as proxy:
        hooks = make(client_certificates=certificates, proxy=through(proxy))
        assert post(hooks, demanding.url, certificate="all.pem").status == 200
        hooks.close()
    assert len(proxy.heads) == 1


def test_a_kept_connection_is_used_by_the_same_certificate_alone(make, certificates, authority):
    context = server_context(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(context)
    with Receiver(tls=context) as receiver:
        hooks = make(client_certificates=certificates)
        for account in ("a1", "a2", "a1", "a2"):
            assert post(hooks, receiver.url, certificate="all.pem", account_id=account).status
        post(hooks, receiver.url)
        assert [request.connection for request in receiver.requests] == [1, 2, 1, 2, 3]


@pytest.mark.parametrize(
    ("certificate", "account_id", "reason"),
    [
        ("absent.pem", "a1", "no such file"),
        ("own.pem", "a2", "no such file"),
        ("own.pem", "../certificates/a1", "no such file"),
        ("../outside.pem", "a1", "no name"),
        ("a1/own.pem", "", "no name"),
        ("a1", "", "no such file"),
        ("no-key.pem", "", "no-key.pem"),
    ],
)
def test_certificates_that_are_not_there(
    make, certificates, demanding, certificate, account_id, reason
):
    hooks = make(client_certificates=certificates)
    outcome = post(hooks, demanding.url, certificate=certificate, account_id=account_id)
    assert kind(outcome) == "refused: certificate"
    assert reason in outcome.detail
    assert demanding.connections == 0


def test_a_key_with_a_password_is_refused_and_asks_nobody(make, certificates, demanding):
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs the openssl program")
    encrypted = certificates / "encrypted.pem"
    source = certificates / "all.pem"
    key = subprocess.run(
        [openssl, "pkey", "-in", source, "-aes256", "-passout", "pass:secret"],
        check=True,
        capture_output=True,
    ).stdout
    encrypted.write_bytes(
        key + source.read_bytes()[source.read_bytes().index(b"-----BEGIN CERT") :]
    )
    outcome = post(
        make(client_certificates=certificates), demanding.url, certificate="encrypted.pem"
    )
    assert kind(outcome) == "refused: certificate"
    assert "store it without a password" in outcome.detail


def test_a_certificate_that_is_replaced_is_read_anew(make, certificates, demanding):
    hooks = make(client_certificates=certificates)
    path = certificates / "all.pem"
    assert post(hooks, demanding.url, certificate="all.pem").status == 200
    stranger = trustme.CA().issue_cert("stranger.example")
    replacement = certificates / "new"
    stranger.private_key_and_cert_chain_pem.write_to_path(str(replacement))
    replacement.replace(path)
    demanding.close_connections()
    assert isinstance(post(hooks, demanding.url, certificate="all.pem"), ClientError)


def test_a_certificate_is_for_https_and_for_the_first_origin(make, certificates, authority):
    hooks = make(client_certificates=certificates, follow_redirects=1)
    assert kind(post(hooks, "http://127.0.0.1:8000/", certificate="all.pem")) == (
        "refused: certificate"
    )
    context = server_context(authority, "127.0.0.1", "127.0.0.2")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with Receiver(tls=context) as first, Receiver("127.0.0.2", tls=context) as other:
        first.answer("/", goes_to(other.url))
        assert isinstance(post(hooks, first.url, certificate="all.pem"), ClientError)
        assert (first.count, other.count) == (1, 0)


# All of it from the settings


def test_the_settings_make_the_transport(receiver, ca_bundle):
    settings = DeliverySettings(
        allow_networks=LOOPBACK, ports=f"{receiver.port}", max_payload=3, ca_bundle=ca_bundle
    )
    made = transport(settings, 2)
    receiver.answer("/", Answer(body=b"12345"))
    assert post(made, receiver.url).body == b"12"
    assert kind(post(made, receiver.url, b"1234")) == "refused: payload"
    made.close()


def test_a_ca_bundle_that_cannot_be_read_is_named_with_its_setting(tmp_path):
    with pytest.raises(OSError, match=r"delivery\.ca_bundle .*absent.pem"):
        transport(DeliverySettings(ca_bundle=tmp_path / "absent.pem"), 1)


hook = hooks_with()


@pytest.mark.parametrize(
    ("uri", "certificate", "reason"),
    [
        ("ftp://hooks.example/", None, "refused: scheme: only http:// and https:// are called"),
        ("http://user@hooks.example/", None, "refused: credentials"),
        ("http://hooks.example:25/", None, "refused: port: port 25"),
        ("http://0x7f.1/", None, r"refused: address: 127.0.0.1 \(loopback\)"),
        ("http://LocalHost./", None, r"refused: address: 127.0.0.1 \(loopback\)"),
        ("http://hooks.example/", "all.pem", "needs a uri of https"),
        ("https://hooks.example/", "absent.pem", "no such file"),
    ],
)
def test_a_hook_that_would_never_be_sent_is_refused(certificates, uri, certificate, reason):
    settings = Settings(delivery=DeliverySettings(client_certificates=certificates))
    with pytest.raises(InvalidHook, match=reason):
        check_hook(hook(uri=uri, options=Options(certificate=certificate)), settings)


def test_a_hook_is_not_judged_by_a_look_up(certificates, monkeypatch):
    asked = []
    getaddrinfo = socket.getaddrinfo

    def counted(host, port, family=0, type=0, proto=0, flags=0):
        if not flags & socket.AI_NUMERICHOST:
            asked.append(host)
        return getaddrinfo(host, port, family, type, proto, flags)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    delivery = DeliverySettings(client_certificates=certificates, allow_networks=["10.0.0.0/8"])
    settings = Settings(delivery=delivery)
    named = {"uri": "https://no-such-name.example/", "options": Options(certificate="all.pem")}
    check_hook(hook(**named), settings)
    check_hook(hook(uri="http://10.1.2.3:8000/"), settings)
    assert asked == []


@pytest.mark.parametrize(
    ("addresses", "doubted"),
    [(["1.1.1.1"], None), (["10.0.0.1", "1.1.1.1"], None), (["10.0.0.1"], "10.0.0.1 (private)")],
)
def test_a_name_that_leads_inside_at_the_moment_is_doubted(addresses, doubted):
    known = EndpointRules(AddressGuard(resolve=resolves_to(addresses)))
    said = doubt("https://hooks.example/", known)
    assert (said is None) if doubted is None else doubted in said


def test_settings_that_cannot_be_used_are_told_at_the_start(tmp_path):
    check(DeliverySettings())
    with pytest.raises(OSError, match=r"delivery\.ca_bundle"):
        check(DeliverySettings(ca_bundle=tmp_path))
    with pytest.raises(OSError, match=r"delivery\.client_certificates .* no such folder"):
        check(DeliverySettings(client_certificates=tmp_path / "absent"))
