"""Look-ups of hooks' hosts for the API: shared, and short where a resolver does not respond."""

import itertools
import threading
import time

from callboard.actors.api.doubts import Doubts
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.endpoint_rules import EndpointRules
from support.patience import patient

RULES = EndpointRules(AddressGuard())
OTHERS = EndpointRules(AddressGuard(), credentials=True)


class Resolver:
    def __init__(self):
        self.asked, self.goes_on = [], threading.Event()

    def doubt(self, uri, rules):
        self.asked.append((uri, rules))
        assert self.goes_on.wait(patient(20))
        return f"doubt of {uri}"


def test_hooks_of_one_host_share_a_look_up():
    resolver = Resolver()
    resolver.goes_on.set()
    found = Doubts(resolver.doubt)
    for path in ("one", "two"):
        assert found.of(f"https://a.example/{path}", RULES) == "doubt of https://a.example/one"
    assert found.of("https://b.example/", RULES) == "doubt of https://b.example/"
    assert found.of("https://a.example/one", OTHERS) == "doubt of https://a.example/one"
    assert len(resolver.asked) == 3


def test_a_host_without_an_answer_is_waited_for_once():
    resolver = Resolver()
    found = Doubts(resolver.doubt)
    began = time.monotonic()
    assert found.of("https://a.example/", RULES) is None
    waited = time.monotonic()
    assert waited - began >= 1.0
    for _ in range(20):
        assert found.of("https://a.example/", RULES) is None
    assert time.monotonic() - waited < patient(1.0)
    resolver.goes_on.set()
    assert len(resolver.asked) == 1


def test_a_result_is_forgotten_in_time_and_when_there_are_many(monkeypatch):
    resolver = Resolver()
    resolver.goes_on.set()
    found = Doubts(resolver.doubt)
    for number in range(1002):
        found.of(f"https://{number}.example/", RULES)
    found.of("https://5.example/", RULES)
    assert len(resolver.asked) == 1002
    found.of("https://0.example/", RULES)
    assert len(resolver.asked) == 1003
    later = time.monotonic() + 30.0
    monkeypatch.setattr(time, "monotonic", lambda: later)
    found.of("https://5.example/", RULES)
    assert len(resolver.asked) == 1004


def test_a_result_is_used_again_for_less_than_thirty_seconds(monkeypatch):
    resolver, began = Resolver(), time.monotonic()
    resolver.goes_on.set()
    found = Doubts(resolver.doubt)
    looked_up = []
    for later_s in (0, 29.9, 30):
        monkeypatch.setattr(time, "monotonic", lambda: began + later_s)  # noqa: B023
        found.of("https://a.example/", RULES)
        looked_up.append(len(resolver.asked))
    assert looked_up == [1, 1, 2]


def test_two_look_ups_are_made_at_a_time(monkeypatch):
    resolver, clock = Resolver(), itertools.count(time.monotonic(), 5)
    found = Doubts(resolver.doubt)
    before = set(threading.enumerate())
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    for host in "abc":
        assert found.of(f"https://{host}.example/", RULES) is None
    assert len(set(threading.enumerate()) - before) == 2
    resolver.goes_on.set()
