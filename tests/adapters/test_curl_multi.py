"""Libcurl's transfers in one thread, and who else has to do with them."""

import gc
import select
import subprocess
import sys
import threading
import time
import weakref
from queue import SimpleQueue

from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.curl import CurlTransport
from callboard.adapters.http.curl_multi import CurlMulti
from callboard.adapters.receiver.server import Answer
from callboard.webhooks.retries.outcome import ClientError, Response
from support.descriptors import freed_by
from support.http import LOOPBACK, answer
from support.patience import patient

HANGING = """
import time
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.curl import CurlTransport

def resolve(*_args):
    time.sleep(600)

transport = CurlTransport(1, 1, guard=AddressGuard((), resolve))
transport.begin(1, "POST", "http://slow.example/", (), b"x")
transport.close()
print("closed")
"""


def test_any_thread_may_wake_it_and_at_a_time():
    multi = CurlMulti(1)
    for wake in (multi.wake, lambda: multi.wake_at(0.0)):
        assert not select.select([multi], (), (), 0)[0]
        thread = threading.Thread(target=wake)
        thread.start()
        assert select.select([multi], (), (), patient(5))[0]
        thread.join()
        multi.run()
    multi.close()


def test_of_many_that_are_ready_it_handles_some_at_a_time(receiver):
    transport = CurlTransport(5, 5, LOOPBACK, in_flight=100)
    receiver.answer("/together", Answer(200, delay_s=0.5))
    for number in range(100):
        transport.begin(number, "POST", f"{receiver.url}/together", (), b"x")
    while receiver.count < 100:
        assert list(transport.ended()) == []
    time.sleep(0.6)
    ended = []
    while len(ended) < 100:
        assert select.select([transport], (), (), patient(5))[0]
        some = [key for key, _outcome in transport.ended()]
        assert len(some) <= 32
        ended += some
    assert sorted(ended) == list(range(100))
    transport.close()


def test_what_is_found_after_the_end_is_written_into_nobody_elses_descriptor():
    go, threads = threading.Event(), SimpleQueue()

    def resolve(_host, port, *_args):
        threads.put(threading.current_thread())
        go.wait(patient(20))
        return [answer("127.0.0.1", port)]

    transport = CurlTransport(1, 1, guard=AddressGuard(LOOPBACK, resolve))
    transport.begin(1, "POST", "http://slow.example/", (), b"x")
    thread = threads.get(timeout=patient(5))
    with freed_by(transport.close):
        go.set()
        thread.join(patient(10))
        assert not thread.is_alive()


def test_a_request_that_ends_at_once_is_announced_and_one_that_waits_is_not():
    go = threading.Event()

    def resolve(_host, port, *_args):
        go.wait(patient(20))
        return [answer("127.0.0.1", port)]

    transport = CurlTransport(60, 60, guard=AddressGuard(LOOPBACK, resolve))
    transport.begin("slow", "POST", "http://slow.example/", (), b"x")
    assert not select.select([transport], (), (), 0)[0]
    for key in ("first", "second"):
        transport.begin(key, "POST", "ftp://refused.example/", (), b"x")
    assert select.select([transport], (), (), 0)[0]
    assert [(key, end.kind) for key, end in transport.ended()] == [
        ("first", "refused: scheme"), ("second", "refused: scheme"),
    ]  # fmt: skip
    assert not select.select([transport], (), (), 0)[0]
    unsigned = ClientError("refused: signature")
    transport.refuse("third", unsigned)
    assert select.select([transport], (), (), 0)[0]
    assert list(transport.ended()) == [("third", unsigned)]
    transport.close()
    go.set()


def test_a_request_that_waits_for_its_response_lets_its_owner_rest(receiver):
    transport = CurlTransport(60, 60, LOOPBACK)
    transport.begin("waits", "POST", f"{receiver.url}/hang", (), b"x")
    while not receiver.count:
        assert list(transport.ended()) == []
    woken = 0
    for _time in range(10):
        woken += bool(select.select([transport], (), (), 0.01)[0])
        assert list(transport.ended()) == []
    transport.close()
    assert woken < 5


def test_its_timer_ends_with_it():
    before = set(threading.enumerate())
    multi = CurlMulti(1)
    (timer,) = set(threading.enumerate()) - before
    assert (timer.name, timer.daemon) == ("curl-alarm", True)
    multi.wake_at(time.monotonic() + 600)
    multi.close()
    timer.join(patient(5))
    assert not timer.is_alive()


class Key:
    """The key of a request, of which it can be seen whether it is gone."""


def test_a_request_at_rest_keeps_nothing_of_the_last_one(receiver):
    """Large bodies and responses are freed; the next request has the method that it is given."""
    transport = CurlTransport(9, 9, guard=AddressGuard(LOOPBACK))

    def send(method, body):
        key = Key()
        transport.begin(key, method, receiver.url, (), body)
        while not (ended := list(transport.ended())):
            assert select.select([transport], (), (), patient(5))[0]
        response = ended[0][1]
        assert response.status == 200
        alone = Response(200)
        assert sys.getrefcount(response.headers) == sys.getrefcount(alone.headers)
        return weakref.ref(key)

    body = (16 * 1024 + 1) * b"x"
    held = sys.getrefcount(body)
    for method, sent in (("POST", True), ("GET", False), ("HEAD", False)):
        key = send(method, body if sent else None)
        gc.collect()
        assert (key(), sys.getrefcount(body)) == (None, held)
    assert [request.method for request in receiver.requests] == ["POST", "GET", "HEAD"]
    transport.close()


def test_a_process_that_ends_waits_for_no_name():
    run = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=patient(30)
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "closed\n", "")
