"""TLS to a real RabbitMQ and to a store: what users read if a certificate is not right."""

import select
import ssl
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from callboard.adapters.broker.backoff import Backoff
from callboard.adapters.broker.protocol import BrokerError, Topology
from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from callboard.adapters.broker.rabbitmq.probe import ProbeFailed, look
from callboard.adapters.broker.rabbitmq.servers import url_parameters
from callboard.adapters.keys.tls import ENDED, Tls, take_options, tls_problem
from callboard.adapters.store import couchdb_probe
from callboard.adapters.store.couchdb import CouchdbStore
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.config.server_urls import broker_url, store_url
from callboard.config.settings import AmqpSettings, CouchdbSettings, Settings
from services.driver import Driver

PEER = {"verify": "verify_peer", "fail_if_no_peer_cert": "true"}
TLS_1_2 = {"versions": "['tlsv1.2']"}
UNTRUSTED = "TLS: the server's certificate is of an authority that ca_bundle lacks"
NO_CERTIFICATE = "TLS: the server demands a client certificate, or has no cipher in common"
OTHER_NAME = "TLS: the server's certificate is for another name: set tls_server_name to its name"


class Files:
    """Certificates of one authority, and the authority of others."""

    def __init__(self, folder):
        self.folder = folder
        self.authority, self.other = trustme.CA(), trustme.CA()
        self.ca, self.other_ca = folder / "ca.pem", folder / "other-ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.other.cert_pem.write_to_path(self.other_ca)
        past = datetime.now(UTC) - timedelta(days=1)
        self.server = self.write("server", self.authority.issue_cert("127.0.0.1"))
        self.named = self.write("named", self.authority.issue_cert("rabbit.internal"))
        self.expired = self.write("expired", self.authority.issue_cert("127.0.0.1", not_after=past))
        self.client = self.write("client", self.authority.issue_cert("node@callboard.test"))
        self.stranger = self.write("stranger", self.other.issue_cert("node@callboard.test"))

    def write(self, name, certificate):
        file = self.folder / f"{name}.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(file)
        return file


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secured(rabbitmq, amqp_url):
    """secured(port, **options) -> the URL of an empty virtual host on that port."""

    def secured(port, **options):
        vhost = amqp_url.rpartition("/")[2]
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"amqps://guest:guest@127.0.0.1:{port}/{vhost}?{query}"

    return secured


def outcome(url):
    """ "up", or the reason for the loss; the doctor finds the same."""
    driver = Driver(AmqpConnection(url, Topology(), backoff=Backoff(5, 5)))
    try:
        driver.until(lambda: driver.events)
        reason = getattr(driver.events[0], "reason", "")
    finally:
        driver.connection.close()
    try:
        look(url, "events", (), 10)
    except ProbeFailed as failed:
        assert failed.stage == "tls"
        reason = reason.partition(": ")[2] if reason.startswith("cannot ") else reason
        if f"TLS: {ENDED}" not in (reason, str(failed)):  # else each may have read the answer
            assert str(failed) == reason
        return reason
    assert not reason
    return "up"


@pytest.mark.rabbitmq
def test_the_right_authority_and_certificates_that_are_not_right(rabbitmq, secured, files):
    with rabbitmq.tls(files.ca, files.server) as port:
        assert outcome(secured(port, cacertfile=files.ca)) == "up"
        assert outcome(secured(port, cacertfile=files.other_ca)) == UNTRUSTED
        assert outcome(secured(port)) == UNTRUSTED
        assert outcome(secured(port, verify="verify_none")) == "up"
        named = secured(port, cacertfile=files.ca, server_name_indication="rabbit.internal")
        assert outcome(named) == OTHER_NAME
    with rabbitmq.tls(files.ca, files.named) as port:
        assert outcome(secured(port, cacertfile=files.ca)) == OTHER_NAME
        named = secured(port, cacertfile=files.ca, server_name_indication="rabbit.internal")
        assert outcome(named) == "up"
    with rabbitmq.tls(files.ca, files.expired) as port:
        expired = outcome(secured(port, cacertfile=files.ca))
        assert expired == "TLS: the server's certificate has expired"
    plain = outcome(secured(rabbitmq.port, cacertfile=files.ca))
    assert plain == "TLS: the port does not speak TLS"


@pytest.mark.rabbitmq
@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ({}, "TLS: the server demands a client certificate: set client_certificate"),
        (TLS_1_2, NO_CERTIFICATE),
    ],
)
def test_a_broker_that_verifies_its_peers(rabbitmq, secured, files, version, missing):
    with rabbitmq.tls(files.ca, files.server, **PEER, **version) as port:
        assert outcome(secured(port, cacertfile=files.ca, certfile=files.client)) == "up"
        both = {"certfile": files.client, "keyfile": files.client}
        assert outcome(secured(port, cacertfile=files.ca, **both)) == "up"
        assert outcome(secured(port, cacertfile=files.ca)) in (missing, f"TLS: {ENDED}")
        stranger = outcome(secured(port, cacertfile=files.ca, certfile=files.stranger))
        untrusted = "TLS: the server does not trust the authority of the client certificate"
        assert stranger in (untrusted, f"TLS: {ENDED}")


@pytest.mark.rabbitmq
def test_a_file_may_come_later(rabbitmq, secured, files, tmp_path):
    later = tmp_path / "later.pem"
    with rabbitmq.tls(files.ca, files.server) as port:
        url = secured(port, cacertfile=later)
        driver = Driver(AmqpConnection(url, Topology(), backoff=Backoff(0.05, 0.1)))
        assert driver.down().reason == f"TLS: {later}: No such file or directory"
        later.write_bytes(files.ca.read_bytes())
        driver.up().connection.close()


def test_a_file_that_is_no_certificate_is_named(files, tmp_path):
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for tls in (
        Tls(ca_file=str(rubbish)),
        Tls(certificate_file=str(rubbish)),
        Tls(certificate_file=str(files.client), key_file=str(files.stranger)),
    ):
        with pytest.raises(ValueError, match=r"^TLS: /.*pem.*: not certificates in PEM"):
            tls.context()
    with pytest.raises(BrokerError, match="No such file"):
        url_parameters("amqps://a?certfile=/no/such/file")


def test_a_file_that_is_missing_is_named(files):
    client = str(files.client)
    for tls, text in (
        (Tls(ca_file="/no/ca"), "/no/ca"),
        (Tls(certificate_file="/no/c"), "/no/c"),
        (Tls(certificate_file="/no/c", key_file="/no/k"), "/no/c and /no/k"),
        (Tls(certificate_file=client, key_file="/no/k"), f"{client} and /no/k"),
    ):
        with pytest.raises(ValueError, match=r"^TLS: ") as fault:
            tls.context()
        assert str(fault.value) == f"TLS: {text}: No such file or directory"


@pytest.mark.parametrize(("verify", "mode"), [(True, "CERT_REQUIRED"), (False, "CERT_NONE")])
def test_a_context_verifies_unless_it_is_not_to(files, verify, mode):
    context = Tls(ca_file=str(files.ca), verify=verify).context()
    assert (context.verify_mode.name, context.check_hostname) == (mode, verify)


def test_the_options_are_those_of_rabbitmqs_clients():
    url = (
        "amqps://u:p@h/v?cacertfile=/c%20a.pem&certfile=/c&keyfile=/k&heartbeat=3"
        "&verify=verify_none&server_name_indication=n"
    )
    assert take_options(url) == (
        "amqps://u:p@h/v?heartbeat=3",
        Tls("/c a.pem", "/c", "/k", "n", False),
    )
    assert take_options("amqps://h?certfile=/c&x=") == (
        "amqps://h?x=",
        Tls(certificate_file="/c"),
    )
    assert take_options("https://h:6984?cacertfile=/c") == ("https://h:6984", Tls("/c"))
    with pytest.raises(BrokerError):
        AmqpConnection("amqps://h?verify=maybe", Topology())
    external = url_parameters("amqps://h?auth_mechanism=external&heartbeat=3")
    assert (external.credentials.TYPE, external.heartbeat) == ("EXTERNAL", 3)
    assert tls_problem("connection refused") == ""


def test_settings_are_the_options_that_a_url_lacks():
    amqp = AmqpSettings(
        url=[
            "amqps://a/v",
            "amqp://b",
            "amqps://c?certfile=/own&verify=verify_peer",
            "amqps://d?certfile=",
        ],
        ca_bundle="/ca",
        client_certificate="/c",
        client_key="/k",
        tls_server_name="n",
        tls_verify=False,
    )
    couchdb = CouchdbSettings(url="https://u:p@h:6984", ca_bundle="/ca")
    made = Settings(amqp=amqp, couchdb=couchdb)
    first, second, third, fourth = broker_url(made).split(",")
    options = take_options(first)
    assert options == ("amqps://a/v", Tls("/ca", "/c", "/k", "n", verify=False))
    assert second == "amqp://b"
    assert take_options(third) == ("amqps://c", Tls("/ca", "/own", "", "n", verify=True))
    assert take_options(fourth)[1] == Tls("/ca", "", "", "n", verify=False)  # without one
    assert broker_url(made, "amqps://zone").startswith("amqps://zone?cacertfile=%2Fca&")
    assert store_url(made) == "https://u:p@h:6984?cacertfile=%2Fca"
    assert store_url(Settings()) == "sqlite://"


class Greeting(BaseHTTPRequestHandler):
    """Says that it is a CouchDB, whatever is asked."""

    def do_GET(self):
        body = b'{"couchdb": "Welcome", "version": "3.5.2", "_id": "x"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


@contextmanager
def secured_store(files, certificate, *, verifies=False):
    """The URL of a store with TLS, without options."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
    context.load_cert_chain(certificate)
    if verifies:
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # says so within the handshake
    server = ThreadingHTTPServer(("127.0.0.1", 0), Greeting)
    server.handle_error = lambda *_arguments: None
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"https://u:p@127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def store_outcome(url):
    """ "up", or why the store cannot be used; the doctor finds the same."""
    store = CouchdbStore(url, timeout_s=10)
    try:
        assert store.get("a", "x")["version"] == "3.5.2"
        assert store.get("a", "y")["version"] == "3.5.2"  # on the connection that was kept
    except StoreUnavailable as error:
        with pytest.raises(couchdb_probe.ProbeFailed) as failed:
            couchdb_probe.look(url, 10)
        assert failed.value.stage == "tls", str(failed.value)
        assert str(error).endswith(f": {failed.value}")
        assert "cacertfile" not in str(error)
        return str(failed.value)
    finally:
        store.close()
    assert couchdb_probe.look(url, 10).product == "CouchDB"
    return "up"


def test_the_store_is_verified_like_the_broker(files):
    ca, client = f"?cacertfile={files.ca}", f"&certfile={files.client}"
    named = "&server_name_indication=rabbit.internal"
    with secured_store(files, files.server) as url:
        assert store_outcome(url + ca) == "up"
        assert store_outcome(f"{url}?cacertfile={files.other_ca}") == UNTRUSTED
        assert store_outcome(url) == UNTRUSTED
        assert store_outcome(f"{url}?verify=verify_none") == "up"
        assert store_outcome(url + ca + named) == OTHER_NAME
    with secured_store(files, files.named) as url:
        assert store_outcome(url + ca) == OTHER_NAME
        assert store_outcome(url + ca + named) == "up"
    with secured_store(files, files.expired) as url:
        assert store_outcome(url + ca) == "TLS: the server's certificate has expired"
    with secured_store(files, files.server, verifies=True) as url:
        assert store_outcome(url + ca + client) == "up"
        assert store_outcome(url + ca) == NO_CERTIFICATE


def test_a_fault_of_tls_is_known_by_openssl_s_name_of_it():
    assert tls_problem("[SSL: WRONG_VERSION_NUMBER]") == "TLS: the port does not speak TLS"


def test_a_file_that_is_missing_is_reported_at_once():
    connection = AmqpConnection("amqps://127.0.0.1?cacertfile=/none", Topology())
    connection.open()
    with closing(connection):
        assert select.select([connection], (), (), 0)[0]
        [down] = connection.poll()
        assert down.reason == "TLS: /none: No such file or directory"
