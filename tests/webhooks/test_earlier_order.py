"""The order of the deliveries that an earlier version left for ordered hooks."""

import pytest
from attrs import evolve

from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.options import Options
from callboard.webhooks.retries.earlier_order import in_probable_order, is_of_ordered_hook
from callboard.webhooks.retries.retry_message import RetryMessage, as_json

NOW_MS = 1_700_000_000_000


def attempted(number, at_ms, hook="h"):
    history = ((NOW_MS + at_ms, "timeout"),)
    return RetryMessage(delivery(number, hook), 1, NOW_MS + 9_000 - at_ms, ("2s",), history=history)


def deferred(number, since_ms, hook="h"):
    due_ms = NOW_MS + 600_000
    return RetryMessage(delivery(number, hook), 0, due_ms, ("10m",), NOW_MS + since_ms)


def delivery(number, hook="h"):
    return Delivery(f"{number:03}", "e", hook, "a", "shop", "u", "POST", "u", (), b"{}")


def order_of(*retries):
    found = in_probable_order(map(as_json, retries), NOW_MS + 5_000)
    return [int(retry.delivery.id) for retry in found]


def in_memory(numbers, since_ms):
    """They were deferred the latest first, within a few milliseconds."""
    return [deferred(n, since_ms + at // 4) for at, n in enumerate(reversed(numbers))]


def without_room(numbers, since_ms):
    return [deferred(n, since_ms + at // 4) for at, n in enumerate(numbers)]


def test_attempted_ones_are_the_earliest():
    """It attempted one at a time."""
    assert order_of(deferred(3, 0), attempted(2, 70), attempted(1, 40)) == [1, 2, 3]


def test_those_that_were_in_memory_are_reversed():
    """As tests/data/data-directory-2.tar.xz has them."""
    waiting = in_memory(range(1, 10), 1_000)
    assert order_of(attempted(0, 0), *waiting) == list(range(10))
    more = in_memory(range(10, 30), 2_000), in_memory([30], 3_000)
    assert order_of(attempted(0, 0), *waiting, *more[0], *more[1]) == list(range(31))


@pytest.mark.parametrize("room_ms", [10, 980])
def test_those_that_found_no_room_are_behind_those_that_were_in_memory_then(room_ms):
    """They are deferred first, in batches."""
    full = in_memory(range(1, 21), 1_000)
    batches = without_room(range(21, 60), room_ms - 60), without_room(range(60, 65), room_ms)
    later = in_memory(range(65, 70), 2_500)
    mixed = attempted(0, -500), *batches[0], *batches[1], *full, *later
    assert order_of(*mixed) == list(range(70))


def test_each_hook_has_its_order():
    mixed = [
        *in_memory([1, 2], 0),
        *(evolve(r, delivery=delivery(9, "i")) for r in [deferred(9, 1)]),
    ]
    found = in_probable_order(map(as_json, mixed), NOW_MS)
    assert [one.delivery.id for one in found if one.delivery.hook_id == "h"] == ["001", "002"]


def test_those_that_were_not_attempted_are_due_now():
    found = in_probable_order([as_json(attempted(1, 0)), as_json(deferred(2, 0))], NOW_MS)
    assert [(one.due_ms - NOW_MS, one.left) for one in found] == [(9_000, ("2s",)), (0, ())]


def test_messages_of_ordered_hooks_are_known_by_their_options():
    def message(body=b"{}", **options):
        made = evolve(delivery(1), body=body, options=Options(**options))
        return as_json(RetryMessage(made, 1, NOW_MS))

    assert is_of_ordered_hook(message(ordered=True))
    assert not is_of_ordered_hook(message(b'{"ordered":true}'))
    assert not is_of_ordered_hook(message(ordered=True).replace(b'"version":1', b'"version":9'))
    assert not is_of_ordered_hook(b'{"ordered":true')


@pytest.mark.parametrize(("apart_ms", "order"), [(9, [2, 1]), (10, [1, 2])])
def test_what_was_deferred_within_ten_milliseconds_was_deferred_together(apart_ms, order):
    assert order_of(deferred(1, 0), deferred(2, apart_ms)) == order


@pytest.mark.parametrize(("number", "is_reversed"), [(20, True), (21, False)])
def test_twenty_of_a_hook_had_room_in_memory(number, is_reversed):
    found = order_of(*without_room(range(number), 0))
    assert found == (sorted(found, reverse=True) if is_reversed else sorted(found))


@pytest.mark.parametrize(("later_ms", "first"), [(999, 1), (1_000, 21)])
def test_a_full_memory_was_deferred_within_a_second_of_those_without_room(later_ms, first):
    assert order_of(deferred(21, 0), *in_memory(range(1, 21), later_ms))[0] == first
