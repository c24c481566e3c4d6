"""A backlog in the broker: whether memory stays flat, and whether all of it is delivered."""

import statistics
import time
from urllib.parse import unquote

from contenders.running import Callboard
from driving import Driven
from memory import Memory
from publisher import Publisher
from report import Figure, Section
from surroundings import Bench

WARM_UP = 2000
SHARE = 0.9
SECONDS, QUICK_S = 40.0, 15.0
MOST_S = 600.0
ARRIVE_S = 60.0
SETTLE_S = 2.0
MOST_GROWTH = 1.1

TEXT = f"""\
One hook, 2 kB. First the system starts with an empty queue and is fed for a while at nine tenths of
the rate at which it was warmed up, so that the queue stays empty. It is stopped, the backlog is
published to its durable queue, and it is started again and drains it, {MOST_S:.0f} seconds at most.
Memory is the proportional set size of all of Callboard's processes, sampled twice a second all the
while: the median, as what it needs, and the greatest sample. Lost are events that have not
arrived and are in no queue either when the system has ended."""


def run(bench: Bench) -> Section:
    contender, folder = Callboard("Callboard, requests"), bench.folder / "backlog"
    amqp_url = bench.broker.vhost()
    folder.mkdir()
    with Publisher(amqp_url, contender.wrap) as publisher:
        with contender.running(amqp_url, bench.receiver.url(), folder) as running:
            at_work = Driven(bench, contender, running, amqp_url, publisher, 1)
            per_s = at_work.warm_up(WARM_UP) * SHARE
            with Memory(running) as without:
                at_work.at(per_s, QUICK_S if bench.quick else SECONDS)
        first = publisher.next_number
        filled = publisher.publish(bench.backlog)
        left = set(range(first, publisher.next_number))
        began = time.monotonic()
        with (
            contender.running(amqp_url, bench.receiver.url(), folder) as running,
            Memory(running) as with_it,
        ):
            repeats = drain(bench, left, began + MOST_S)
            took_s = time.monotonic() - began
        drained = bench.backlog - len(left)
        repeats += drain(bench, left, time.monotonic() + SETTLE_S)
        lost = max(0, len(left) - queued(bench, amqp_url))
    pairs = (("the queue empty", without.totals_mb), ("the backlog", with_it.totals_mb))
    growth = statistics.median(with_it.totals_mb) / statistics.median(without.totals_mb)
    peaks = max(with_it.totals_mb) / max(without.totals_mb)
    figures = (
        Figure("the backlog", "events", [bench.backlog]),
        *(Figure(f"memory with {what}", "MB", samples) for what, samples in pairs),
        Figure("memory, medians", "times that without", [growth], at_most=MOST_GROWTH),
        Figure("memory, greatest", "times that without", [peaks], at_most=MOST_GROWTH),
        Figure("drained", "events", [drained]),
        Figure("lost", "deliveries", [lost], at_most=0),
        Figure("repeated", "deliveries", [repeats]),
        Figure("drained, the start included", "events/s", [drained / took_s]),
        Figure("filled", "events/s", [bench.backlog / filled.seconds]),
    )
    return Section("A backlog", figures, TEXT)


def queued(bench: Bench, amqp_url: str) -> int:
    """Messages in all queues of the virtual host: events, and deliveries that were put off."""
    vhost = unquote(amqp_url.rsplit("/", 1)[1])
    found = f'lists:flatten(rabbit_amqqueue:info_all(<<"{vhost}">>, [messages]))'
    return int(bench.broker.erlang(f"lists:sum([N || {{messages, N}} <- {found}])"))


def drain(bench: Bench, left: set[int], until: float) -> int:
    """Take the numbers that arrive out of `left` until none is; how many came more than once."""
    repeats = 0
    while left and (left_s := until - time.monotonic()) > 0:
        try:
            came = [arrival.number for arrival in bench.receiver.wait_for(1, min(left_s, ARRIVE_S))]
        except TimeoutError:
            break
        repeats += len(came) - len(left.intersection(came))
        left.difference_update(came)
    return repeats
