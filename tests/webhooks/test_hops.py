"""The count of an event's ways through a hook and our own API."""

import pytest

from callboard.webhooks.events.event import Event
from callboard.webhooks.modules.hops import hop_headers, hops_in, hops_of


@pytest.mark.parametrize(
    ("written", "hops"),
    [(None, 0), (0, 0), (1, 1), ("2", 2), (16, 16), (17, 0), (-1, 0), ("x", 0)],
)
def test_an_event_has_1_to_16_hops_or_none(written, hops):
    assert hops_in(Event({"Hops": written})) == hops


def test_a_delivery_passes_on_one_more():
    assert hop_headers(3) == (("callboard-hops", "4"),)
    assert hops_of((("x", "1"), ("callboard-hops", "4"))) == 4
    assert [hops_of(headers) for headers in ((), (("callboard-hops", "x"),))] == [0, 0]
