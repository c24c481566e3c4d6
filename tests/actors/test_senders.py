"""What sends for an actor: threads or one loop, told apart by nothing but how many there may be."""

import select
import socket
import subprocess
import sys
import threading
import time

import pytest
from attrs import evolve

from callboard.actors.delivery.senders import SendingThreads
from callboard.actors.delivery.transports import TransportUnavailable, check, sending, slots
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.threaded import RequestsTransport
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.keys.signer import Signer
from callboard.adapters.receiver.server import Answer
from callboard.config import DataSettings, DeliverySettings, Settings
from callboard.webhooks.events.trace_context import TraceContext
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.outcome import Response
from support.descriptors import freed_by, open_descriptors
from support.http import LOOPBACK, answer
from support.patience import patient
from support.sending import to_send

TRACED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(params=["requests", "curl"])
def settings(request, tmp_path):
    return Settings(
        data=DataSettings(dir=str(tmp_path)),
        delivery=DeliverySettings(
            transport=request.param, allow_networks=["127.0.0.0/8"], request_timeout_ms=500
        ),
    )


@pytest.fixture
def sender(settings):
    signer = Signer(SecretBox("", settings.secrets_key_file))
    sender = sending(settings, 3, signer)
    yield sender
    sender.close()


def ended(sender, count):
    found = []
    while len(found) < count:
        assert select.select([sender], (), (), patient(10))[0]
        found += sender.ended()
    return found


def test_what_ends_is_told_with_its_work_and_makes_room(sender, receiver):
    receiver.answer("/slow", Answer(503, b"later", delay_s=0.1))
    works = [to_send(f"{receiver.url}/{path}") for path in ("ok", "slow", "hang")]
    for work in works:
        sender.send(work)
    assert (sender.count, sender.free) == (3, 0)
    by_url = {sent.work.delivery.url: sent for sent in ended(sender, 3)}
    outcomes = [by_url[work.delivery.url].outcome for work in works]
    assert [outcome.status for outcome in outcomes[:2]] == [200, 503]
    assert outcomes[2].kind == "timeout"
    assert by_url[works[2].delivery.url].took_s >= 0.5
    assert sender.free == 3
    assert {request.body for request in receiver.requests} == {b"body"}


def test_what_was_quick_is_told_while_the_others_hang(sender, receiver):
    warm, quick, hanging = (to_send(f"{receiver.url}/{p}") for p in ("a", "b", "hang"))
    for _ in range(3):
        sender.send(warm)
    ended(sender, 3)
    for work in (quick, hanging, hanging):
        sender.send(work)
    assert [sent.work for sent in ended(sender, 1)] == [quick]


@pytest.mark.parametrize("proxied", [False, True])
def test_names_that_are_looked_up_for_long_hold_up_nobody(tmp_path, receiver, proxied):
    found = threading.Event()

    def look_up(host, port, *_args):
        if host == "slow.example":
            found.wait(patient(10))
        return [answer("127.0.0.1", port)]

    transport = RequestsTransport(
        *(patient(5), patient(20)),
        guard=AddressGuard(LOOPBACK, look_up),
        proxy=receiver.url if proxied else "",
    )
    threads = SendingThreads(4, transport, Signer(SecretBox("", tmp_path / "key")))
    slow, quick = (to_send(f"http://{name}.example:{receiver.port}/") for name in ("slow", "quick"))
    for work in (slow, slow, slow, quick):
        threads.send(work)
    assert [sent.work for sent in ended(threads, 1)] == [quick]
    found.set()
    assert {sent.work for sent in ended(threads, 3)} == {slow}
    threads.close()


@pytest.mark.parametrize("later", [False, True])
def test_connecting_takes_no_longer_than_it_may(settings, later):
    """TLS included. `later`: the limit is that of the cluster's documents."""
    most_ms = 60_000 if later else 50
    delivery = evolve(settings.delivery, connect_timeout_ms=most_ms, request_timeout_ms=60_000)
    signer = Signer(SecretBox("", settings.secrets_key_file))
    sender = sending(evolve(settings, delivery=delivery), 1, signer)
    if later:
        sender.connect_within(0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sender.send(to_send(f"https://127.0.0.1:{silent.getsockname()[1]}/"))
        (sent,) = ended(sender, 1)
    assert sent.outcome.kind == "failed_connect: timeout"
    sender.close()


def test_what_is_refused_is_told_without_being_sent(sender, receiver):
    sender.send(to_send(receiver.url, method="GET /"))
    sender.send(to_send(receiver.url, options=Options(secrets=("sealed by nobody",))))
    kinds = {sent.outcome.kind: sent for sent in ended(sender, 2)}
    assert kinds.keys() == {"refused: method", "refused: signature"}
    assert kinds["refused: signature"].took_s is None
    assert sender.free == 3
    assert receiver.connections == 0


def test_the_trace_goes_along(sender, receiver):
    sender.send(to_send(receiver.url, trace=TraceContext(TRACED)))
    (sent,) = ended(sender, 1)
    assert isinstance(sent.outcome, Response)
    assert receiver.requests[0].headers["traceparent"] == TRACED
    assert ("traceparent", TRACED) in sent.headers


def test_nothing_is_left_after_the_end(settings, receiver):
    before = open_descriptors(), set(threading.enumerate())
    sender = sending(settings, 3, Signer(SecretBox("", settings.secrets_key_file)))
    for _ in range(3):
        sender.send(to_send(receiver.url))
    ended(sender, 3)
    sender.close()
    for thread in set(threading.enumerate()) - before[1]:
        thread.join(patient(10))
        assert not thread.is_alive()
    until = time.monotonic() + patient(10)
    while not (left := open_descriptors()) <= before[0] and time.monotonic() < until:
        time.sleep(0.01)  # The receiver's ends of the connections.
    assert left <= before[0]


def test_what_ends_after_the_end_is_written_into_nobody_elses_descriptor(tmp_path, receiver):
    go, begun = threading.Event(), threading.Event()

    def look_up(_host, port, *_args):
        begun.set()
        go.wait(patient(10))
        return [answer("127.0.0.1", port)]

    threads = set(threading.enumerate())
    transport = RequestsTransport(patient(5), patient(20), guard=AddressGuard(LOOPBACK, look_up))
    sender = SendingThreads(1, transport, Signer(SecretBox("", tmp_path / "key")))
    sender.send(to_send(f"http://slow.example:{receiver.port}/"))
    assert begun.wait(patient(10))
    (thread,) = set(threading.enumerate()) - threads
    with freed_by(sender.close):
        go.set()
        thread.join(patient(10))
        assert not thread.is_alive()


def test_each_transport_has_a_number_of_its_own():
    assert slots(DeliverySettings(threads=7, in_flight=9)) == 7
    assert slots(DeliverySettings(threads=7, in_flight=9, transport="curl")) == 9


def test_a_transport_that_is_not_installed_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycurl", None)  # as if it were not installed
    check(DeliverySettings())
    with pytest.raises(TransportUnavailable, match=r"delivery\.transport.*'\.\[async\]'"):
        check(DeliverySettings(transport="curl"))
    with pytest.raises(TransportUnavailable, match="pycurl"):
        sending(Settings(delivery=DeliverySettings(transport="curl")), 1, Signer(None))


def test_pycurl_is_imported_where_it_sends_alone():
    program = (
        "import sys, callboard.run_system, callboard.actors.system.tree;"
        "from callboard.actors.delivery.transports import check;"
        "from callboard.config import DeliverySettings;"
        "check(DeliverySettings()); check(DeliverySettings(transport='curl'));"
        "print('pycurl' in sys.modules, 'callboard.adapters.http.curl' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("False False\n", "")
