"""Both transports obey the options of single hooks, and keep their connections apart."""

import pytest
import trustme

from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.receiver.server import Answer
from callboard.webhooks.retries.outcome import ClientError
from callboard.webhooks.values.endpoint_options import AS_KAZOO, EndpointOptions
from support.http import server_context
from support.receiver import Receiver


def post(transport, url, endpoint=None, **arguments):
    return transport.send("POST", url, (), b"{}", endpoint=endpoint, **arguments)


def kind(outcome):
    assert isinstance(outcome, ClientError), outcome
    return outcome.kind


@pytest.fixture
def stranger():
    """A server whose certificate is of an authority that only `ca.pem` names."""
    authority = trustme.CA()
    with Receiver(tls=server_context(authority, "127.0.0.1")) as receiver:
        receiver.authority = authority
        yield receiver


def test_a_certificate_is_not_verified_for_that_hook_alone(make, stranger):
    hooks = make()
    unverified = EndpointOptions(tls_verify=False)
    unknown = "tls: certificate of an unknown authority"
    assert kind(post(hooks, stranger.url)) == unknown
    assert post(hooks, stranger.url, unverified).status == 200
    # The kept connection was not verified: others may not use it.
    assert kind(post(hooks, stranger.url)) == unknown
    assert post(hooks, stranger.url, unverified).status == 200
    first, second = (request.connection for request in stranger.requests)
    assert first == second


def test_the_name_in_a_certificate_is_not_verified_for_that_hook_alone(make, authority):
    hooks = make()
    with Receiver(tls=server_context(authority, "other.example")) as receiver:
        assert kind(post(hooks, receiver.url)).startswith("tls: ")
        assert post(hooks, receiver.url, EndpointOptions(tls_verify=False)).status == 200
        assert kind(post(hooks, receiver.url)).startswith("tls: ")


def test_an_authority_of_the_folder_is_trusted_by_that_hook_alone(make, stranger, tmp_path):
    stranger.authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    hooks = make(client_certificates=tmp_path)
    own = EndpointOptions(ca_bundle="ca.pem")
    assert post(hooks, stranger.url, own).status == 200
    assert kind(post(hooks, stranger.url)).startswith("tls: ")
    absent = EndpointOptions(ca_bundle="absent.pem")
    assert kind(post(hooks, stranger.url, absent)) == "refused: certificate"
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "new.pem"))
    (tmp_path / "new.pem").replace(tmp_path / "ca.pem")
    stranger.close_connections()
    assert kind(post(hooks, stranger.url, own)).startswith("tls: ")


def test_a_private_network_is_called_for_that_hook_alone(make):
    hooks = make(guard=AddressGuard())
    inside = EndpointOptions(allow_networks=("127.0.0.0/8",))
    with Receiver() as receiver:
        assert kind(post(hooks, receiver.url)) == "refused: address"
        assert post(hooks, receiver.url, inside).status == 200
        # The connection is kept open, but only for those who might have opened it.
        assert kind(post(hooks, receiver.url)) == "refused: address"
        assert kind(post(hooks, receiver.url, EndpointOptions(follow_redirects=1))) == (
            "refused: address"
        )
        assert post(hooks, receiver.url, inside).status == 200
        assert [request.connection for request in receiver.requests] == [1, 1]


def test_ports_and_credentials(make):
    with Receiver() as receiver:
        hooks = make(ports=[1])
        url = receiver.url.replace("://", "://ada:secret@")
        port = EndpointOptions(ports=((receiver.port, receiver.port),))
        both = port.over(EndpointOptions(url_credentials=True))
        assert kind(post(hooks, receiver.url)) == "refused: port"
        assert post(hooks, receiver.url, port).status == 200
        assert kind(post(hooks, url, port)) == "refused: credentials"
        assert post(hooks, url, both).status == 200
        assert receiver.requests[-1].headers["authorization"] == "Basic YWRhOnNlY3JldA=="


def test_redirects_are_followed_for_that_hook_and_checked_by_its_rules(make):
    with Receiver() as first, Receiver("127.0.0.2") as other:
        first.answer("/", Answer(302, headers={"Location": other.url}))
        guard = AddressGuard(("127.0.0.1/32",))
        hooks = make(guard=guard)
        assert post(hooks, first.url).status == 302
        following = EndpointOptions(follow_redirects=1)
        assert kind(post(hooks, first.url, following)) == "refused: address"
        wider = following.over(EndpointOptions(allow_networks=("127.0.0.2/32",)))
        assert post(hooks, first.url, wider).status == 200
        strict = make(guard=guard, follow_redirects=1)
        assert post(strict, first.url, EndpointOptions(follow_redirects=0)).status == 302


def test_as_kazoo_from_https_to_http(make, stranger):
    with Receiver() as plain:
        stranger.answer("/", Answer(302, headers={"Location": plain.url}))
        hooks = make(guard=AddressGuard())
        assert post(hooks, stranger.url, AS_KAZOO).status == 200
        assert (stranger.count, plain.count) == (1, 1)
