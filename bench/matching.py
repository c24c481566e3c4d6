"""What matching an event costs with few hooks and with very many, and what a hook weighs.

    python bench/matching.py [--few 1000] [--many 1000000] [--runs 7] [--events 2000]

One process does what a responder does: hooks in a HookIndex, events of channel_create through
`deliveries()`. Accounts have ten hooks each, so an event fires as many hooks whichever the index.
The two indexes take turns, run by run, and events go to accounts all over each. The index alone
(`candidates`, without payload and encoding) is timed apart: there a difference would show first.
Memory is what the process's resident set grows by while an index is filled, over its hooks.
"""

import argparse
import gc
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
from system_under_test import print_setting, print_spread

from callboard.webhooks.deliveries.delivery import deliveries, new_event_id
from callboard.webhooks.events.directory import Account
from callboard.webhooks.events.event import Event
from callboard.webhooks.hooks.hook import parse_hook
from callboard.webhooks.hooks.matching import HookIndex, candidates
from callboard.webhooks.modules.kazoo.channel_create import MODULE

HOOKS_AN_ACCOUNT = 10
EVENTS = ("channel_create", "channel_create", "all", *["channel_answer", "channel_destroy"] * 4)
FIRING_AN_ACCOUNT = 3
MEGA = 1e6


class Accounts:
    """A directory in which every account exists and has one ancestor."""

    def account(self, account_id: str) -> Account:
        return Account(account_id, (account_of(0), account_id))

    def reseller_id(self, account_id: str) -> str:
        return account_of(0)

    def account_by_number(self, number: str) -> None:
        return None

    def setting(self, category: str, key: str, default: object) -> object:
        return default


DIRECTORY = Accounts()


def account_of(number: int) -> str:
    return f"{number:032x}"


def filled(hooks: int) -> tuple[HookIndex, float]:
    """An index with so many hooks; and the bytes that each has taken."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    index = HookIndex()
    for number in range(hooks):
        document = {
            "_id": f"{number:032x}",
            "pvt_account_id": account_of(number // HOOKS_AN_ACCOUNT),
            "uri": f"https://receiver-{number % 997}.example.com/hooks/{number}",
            "hook": EVENTS[number % HOOKS_AN_ACCOUNT],
            "format": "json",
        }
        index.put(parse_hook(document, ()))
    gc.collect()
    return index, (psutil.Process().memory_info().rss - before) / hooks


def events(accounts: int) -> Iterator[Event]:
    """Calls of accounts at random."""
    chosen = random.Random(accounts)
    for number in itertools.count():
        yield Event(
            {
                "Event-Category": "call_event",
                "Event-Name": "CHANNEL_CREATE",
                "Msg-ID": str(1_672_280_800_000_000 + number),
                "Call-ID": f"call-{number}@switch.example",
                "Call-Direction": "inbound",
                "Timestamp": 63_839_500_001,
                "Request": "+15550199999@acme.example",
                "From": "+15550100001@acme.example",
                "Custom-Channel-Vars": {
                    "Account-ID": account_of(chosen.randrange(1, accounts)),
                },
            }
        )


def fire(index: HookIndex, event: Event) -> int:
    return len(deliveries(event, MODULE, index, DIRECTORY, "cluster", new_event_id))


def look_up(index: HookIndex, event: Event) -> int:
    account = DIRECTORY.account(event.body["Custom-Channel-Vars"]["Account-ID"])
    return sum(1 for _hook in candidates(index, account, "CHANNEL_CREATE"))


def us_each(
    find: Callable[[HookIndex, Event], int], index: HookIndex, some: Sequence[Event]
) -> float:
    """Microseconds per event; every event is seen for the first time."""
    began = time.perf_counter()
    found = sum(find(index, event) for event in some)
    taken = time.perf_counter() - began
    assert found == FIRING_AN_ACCOUNT * len(some)
    return taken / len(some) * MEGA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--events", type=int, default=2_000)
    options = parser.parse_args()
    print_setting()
    indexes, supplies = {}, {}
    for hooks in (options.few, options.many):
        indexes[hooks], weight = filled(hooks)
        supplies[hooks] = events(hooks // HOOKS_AN_ACCOUNT)
        print(f"{hooks:,} hooks: {weight:,.0f} bytes each")
    gc.freeze()  # As the hooks are never garbage, no run is to pay for looking at them.

    ways = {"deliveries": fire, "candidates": look_up}
    times_us: dict[tuple[str, int], list[float]] = {
        (way, hooks): [] for way in ways for hooks in indexes
    }
    for run, (hooks, index), (way, find) in itertools.product(
        range(-1, options.runs), indexes.items(), ways.items()
    ):
        taken = us_each(find, index, list(itertools.islice(supplies[hooks], options.events)))
        if run >= 0:  # The first one warms up.
            times_us[way, hooks].append(taken)
    for way in ways:
        for hooks in indexes:
            print_spread(f"{way}, {hooks:,}, us", times_us[way, hooks])
        few, many = (statistics.median(times_us[way, hooks]) for hooks in indexes)
        print(f"{way}: {options.many:,} hooks cost {many / few:.2f} times what {options.few:,} do")


if __name__ == "__main__":
    main()
