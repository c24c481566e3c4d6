"""Names that are looked up in threads."""

import socket
import threading
import time
from queue import SimpleQueue

import pytest

from callboard.adapters.http.address_guard import AddressGuard, AddressRefusedError, Candidate
from callboard.adapters.http.resolver import Lookups
from support.http import answer
from support.patience import patient


@pytest.fixture
def lookups():
    made = Lookups(lambda: made.woken.set(), lambda at: made.wakes_at.append(at))
    made.woken = threading.Event()
    made.wakes_at = []
    yield made
    made.close()


def later():
    return time.monotonic() + patient(20)


def run(lookups):
    assert lookups.woken.wait(patient(5))
    lookups.woken.clear()
    lookups.run()


def test_those_who_ask_for_the_same_at_once_share_an_answer(lookups):
    asked, go = [], threading.Event()

    def resolve(host, port, *_args):
        asked.append(host)
        go.wait(patient(5))
        return [answer("192.0.2.1", port)]

    guard = AddressGuard(["192.0.2.0/24"], resolve)
    found = []
    for _asker in range(3):
        lookups.ask(guard, "a.example", 80, later(), found.append)
    assert found == []
    go.set()
    run(lookups)
    assert asked == ["a.example"]
    assert found == 3 * [[Candidate(socket.AF_INET, ("192.0.2.1", 80))]]
    lookups.ask(guard, "a.example", 80, later(), found.append)
    run(lookups)
    assert asked == 2 * ["a.example"]


def test_errors_are_answers(lookups):
    def resolve(host, *_args):
        raise socket.gaierror(socket.EAI_NONAME, host)

    found = []
    lookups.ask(AddressGuard(resolve=resolve), "a.example", 80, later(), found.append)
    run(lookups)
    lookups.ask(AddressGuard(), "127.0.0.1", 80, later(), found.append)
    assert isinstance(found[0], socket.gaierror)
    assert isinstance(found[1], AddressRefusedError)


def test_an_address_asks_nobody(lookups):
    found = []
    lookups.ask(AddressGuard(["127.0.0.0/8"]), "127.0.0.1", 80, later(), found.append)
    assert found == [[Candidate(socket.AF_INET, ("127.0.0.1", 80))]]


def test_a_defect_is_raised_by_the_one_who_runs_it(lookups):
    def resolve(*_args):
        raise ZeroDivisionError

    lookups.ask(AddressGuard(resolve=resolve), "a.example", 80, later(), print)
    with pytest.raises(ZeroDivisionError):
        run(lookups)


def test_names_that_keep_us_waiting_leave_threads_to_those_that_do_not(lookups):
    go = threading.Event()

    def resolve(host, port, *_args):
        if host != "quick.example":
            go.wait(patient(20))
        return [answer("192.0.2.1", port)]

    guard, found = AddressGuard(["192.0.2.0/24"], resolve), []
    lookups.ask(guard, "quick.example", 80, later(), found.append)
    run(lookups)
    for number in range(100):
        lookups.ask(guard, f"slow-{number}.example", 80, later(), lambda _found: None)
    lookups.ask(guard, "quick.example", 80, later(), found.append)
    run(lookups)
    go.set()
    assert len(found) == 2


def test_nobody_waits_for_names_longer_than_they_would(lookups):
    go, asked, found = threading.Event(), SimpleQueue(), []

    def resolve(host, port, *_args):
        asked.put(host)
        go.wait(patient(20))
        return [answer("192.0.2.1", port)]

    guard = AddressGuard(["192.0.2.0/24"], resolve)
    names = [f"slow-{number}.example" for number in range(24)]
    for name in names:
        lookups.ask(guard, name, 80, later(), lambda _found: None)
    assert sorted(asked.get(timeout=patient(5)) for _ in names) == sorted(names)
    until = time.monotonic() + 0.05
    lookups.ask(guard, "given-up.example", 80, until, found.append)
    lookups.ask(guard, names[0], 80, until, found.append)
    assert lookups.wakes_at[-1] == until
    time.sleep(0.05)
    lookups.run()
    assert [type(answer) for answer in found] == 2 * [TimeoutError]
    lookups.ask(guard, "next.example", 80, later(), found.append)
    go.set()
    while len(found) < 3:
        run(lookups)
    assert found[2] == [Candidate(socket.AF_INET, ("192.0.2.1", 80))]
    assert asked.get(timeout=patient(5)) == "next.example"


def test_it_asks_to_be_woken_for_the_next_who_gives_up(lookups):
    go, found = threading.Event(), []
    guard = AddressGuard([], lambda *_args: go.wait(patient(5)) and [])
    first, second = time.monotonic() - 1, later()
    lookups.ask(guard, "a.example", 80, second, found.append)
    lookups.ask(guard, "a.example", 80, first, found.append)
    assert lookups.wakes_at == [second, first]
    lookups.run()
    assert lookups.wakes_at[2:] == [second]
    assert [type(each) for each in found] == [TimeoutError]
    go.set()


def test_nothing_is_looked_up_after_the_end(lookups):
    go, asked = threading.Event(), []

    def resolve(host, *_args):
        asked.append(host)
        go.wait(patient(20))
        return []

    before = set(threading.enumerate())
    names = [f"slow-{number}.example" for number in range(24 + 3)]
    for name in names:
        lookups.ask(AddressGuard(resolve=resolve), name, 80, later(), print)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 24
    assert all(thread.daemon for thread in threads)
    lookups.close()
    go.set()
    for thread in threads:
        thread.join(patient(10))
        assert not thread.is_alive()
    assert set(asked) <= set(names[:24])


def test_a_name_that_was_given_up_may_be_asked_for_again_at_once(lookups):
    go, found = threading.Event(), []

    def resolve(host, port, *_args):
        go.wait(patient(20))
        return [answer("192.0.2.1", port)]

    guard = AddressGuard(["192.0.2.0/24"], resolve)
    for number in range(24):
        lookups.ask(guard, f"slow-{number}.example", 80, later(), lambda _found: None)
    for until in (time.monotonic(), later()):
        lookups.ask(guard, "a.example", 80, until, found.append)
        lookups.run()
    go.set()
    while len(found) < 2:
        run(lookups)
    assert isinstance(found[0], TimeoutError)
    assert found[1] == [Candidate(socket.AF_INET, ("192.0.2.1", 80))]
