import select
import socket
import threading
import time

import pytest

from callboard.adapters.broker.rabbitmq.io_loop import PollableLoop
from performance.counting import c_calls
from support.descriptors import freed_by, open_descriptors, opening
from support.patience import patient


@pytest.fixture
def loop():
    loop = PollableLoop()
    yield loop
    loop.close()


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def readable(loop, timeout_s=0.0) -> bool:
    return bool(select.select([loop], [], [], timeout_s)[0])


def test_at_rest_there_is_nothing_to_do(loop):
    assert not readable(loop)
    assert loop.deadline() is None


def test_a_callback_of_another_thread_makes_it_readable_and_runs_here(loop):
    ran_in = []
    thread = threading.Thread(
        target=loop.add_callback, args=[lambda: ran_in.append(threading.current_thread())]
    )
    thread.start()
    assert readable(loop, 5)
    thread.join()
    assert ran_in == []
    loop.run_ready()
    assert ran_in == [threading.current_thread()]
    assert not readable(loop)


def test_more_callbacks_than_the_pipe_has_room_for(loop):
    ran = []
    for i in range(66_000):
        loop.add_callback(lambda i=i: ran.append(i))
    while readable(loop):
        loop.run_ready()
    assert ran == list(range(66_000))


def test_callbacks_that_add_callbacks_do_not_keep_it_forever(loop):
    def again():
        loop.add_callback(again)

    loop.add_callback(again)
    loop.run_ready()
    assert readable(loop)


def test_timers_run_when_due_and_not_when_removed(loop):
    ran = []
    loop.call_later(0.02, lambda: ran.append("second"))
    first = loop.call_later(0.01, lambda: ran.append("first"))
    removed = loop.call_later(0.015, lambda: ran.append("removed"))
    assert loop.deadline() == first.time
    loop.remove_timeout(removed)
    loop.run_ready()
    assert ran == []
    while loop.deadline() is not None:
        loop.run_ready()
    assert ran == ["first", "second"]
    loop.remove_timeout(first)


def test_a_descriptor_is_watched_for_what_was_asked(loop, pair):
    left, right = pair
    seen = []
    loop.add_handler(left.fileno(), lambda fd, events: seen.append((fd, events)), loop.READ)
    assert not readable(loop)
    right.send(b"x")
    assert readable(loop, 5)
    loop.run_ready()
    assert set(seen) == {(left.fileno(), loop.READ)}
    left.recv(10)
    assert not readable(loop)
    loop.update_handler(left.fileno(), loop.READ | loop.WRITE)
    assert readable(loop)
    seen.clear()
    loop.run_ready()
    assert set(seen) == {(left.fileno(), loop.WRITE)}
    loop.remove_handler(left.fileno())
    assert not readable(loop)


def test_a_handler_may_end_the_watch_of_another(loop, pair):
    left, right = pair
    ran = []

    def handler(fd, _events):
        ran.append(fd)
        for end in (left, right):
            loop.remove_handler(end.fileno())

    for end in (left, right):
        loop.add_handler(end.fileno(), handler, loop.WRITE)
    loop.run_ready()
    assert len(ran) == 1


def test_the_descriptor_stays_the_same(loop, pair):
    before = loop.fileno()
    loop.add_handler(pair[0].fileno(), lambda fd, events: None, loop.READ)
    loop.remove_handler(pair[0].fileno())
    assert loop.fileno() == before


def test_timers_give_no_time_away(loop):
    ran = []
    for _timer in range(20):
        loop.call_later(0, lambda: ran.append(1))
    with c_calls() as calls:
        loop.run_ready()
    assert len(ran) == 20
    assert calls["time", "sleep"] == 0


def test_closed_it_leaves_no_descriptor_open():
    with opening() as opened:
        loop = PollableLoop()
    assert len(opened) == 3
    loop.close()
    assert opened.isdisjoint(open_descriptors())


def test_a_thread_that_is_late_writes_into_nobody_elses_descriptor():
    """Such as one that looks up a name for a connection that was closed meanwhile."""
    loop = PollableLoop()
    with freed_by(loop.close):
        loop.add_callback(lambda: None)
        loop.wake()


def test_waiting_ends_with_the_time_or_with_work(loop):
    began = time.monotonic()
    loop.wait(0.02)
    assert time.monotonic() - began >= 0.015
    loop.wake()
    began = time.monotonic()
    loop.wait(60)
    assert time.monotonic() - began < patient(30)
