"""Which deliverer has which delivery."""

import pytest
from attrs import evolve

from callboard.actors.base.placement import (
    EventToPlace,
    Placement,
    deliverer_for,
    deliverers_among,
)
from callboard.actors.messages.paths import is_remote
from callboard.supervision import Peer
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.options import Options

DELIVERY = Delivery("i", "e", "h", "a", "all", "http://x/", "POST", "http://x/", (), b"{}")
PEERS = {
    path: Peer(path, 1, None, 1)
    for path in (*(f"deliveries/deliverer-{n}" for n in (3, 1, 2)), "event_bridge")
}


def delivery(id, hook="h", **options):
    return evolve(DELIVERY, id=id, hook_id=hook, options=Options(**options))


def test_only_deliverers_take_part_in_one_order():
    assert [peer.path[-1] for peer in deliverers_among(PEERS)] == ["1", "2", "3"]


def test_deliveries_are_shared_out_and_stay_where_they_are():
    up = deliverers_among(PEERS)
    places = [deliverer_for(delivery(str(n)), up).path for n in range(100)]
    assert set(places) == {peer.path for peer in up}
    assert places == [deliverer_for(delivery(str(n)), up).path for n in range(100)]


def test_one_deliverer_has_all_of_an_ordered_or_limited_hook():
    up = deliverers_among(PEERS)
    for options in ({"ordered": True}, {"rate_per_s": 1.0}):
        assert len({deliverer_for(delivery(str(n), **options), up).path for n in range(50)}) == 1


def test_only_the_hooks_of_a_deliverer_that_is_down_move():
    up = deliverers_among(PEERS)

    def places(peers):
        return {
            h: deliverer_for(delivery("i", f"hook {h}", ordered=True), peers) for h in range(90)
        }

    before, after = places(up), places(up[1:])
    assert {peer.path for peer in before.values()} == {peer.path for peer in up}
    for hook, peer in before.items():
        assert after[hook] in up[1:] if peer is up[0] else after[hook] is peer


def test_deliverers_elsewhere_are_told_by_their_path():
    assert is_remote("deliveries/elsewhere/there/deliverer-1")
    assert not is_remote("deliveries/deliverer-1")
    assert not is_remote("deliveries/elsewhere")


def events(count, first=0, each=1, **options):
    """Events by their number, each with so many deliveries."""
    return [
        EventToPlace(n, n, [delivery(f"{n} {m}", **options) for m in range(each)])
        for n in range(first, first + count)
    ]


def places(shares):
    """Where each delivery went, by its id."""
    return {each.id: path for path, share in shares.items() for ds in share.values() for each in ds}


UP = deliverers_among(PEERS)


def test_a_small_batch_goes_to_one_deliverer_and_a_row_of_them_to_all():
    placement = Placement(1000)
    went = [set(places(placement.share_out(events(8, n), UP)).values()) for n in range(0, 400, 8)]
    assert all(len(one) == 1 for one in went)
    assert set().union(*went) == {peer.path for peer in UP}


@pytest.mark.parametrize(
    ("batch", "deliverers"),
    [
        (events(32), 1),
        (events(33), 3),
        (events(1, each=64), 1),
        (events(1, each=65), 3),
        (events(8) + events(24, 8, rate_per_s=1.0), 3),
        (events(8) + events(24, 8, ordered=True), 3),
    ],
)
def test_what_is_large_is_split_by_delivery_and_what_is_bound_to_a_hook_by_that(batch, deliverers):
    shares = Placement(1000).share_out(batch, UP)
    assert sum(map(bool, shares.values())) == deliverers
    if deliverers > 1:
        assert places(shares) == {
            one.id: deliverer_for(one, UP).path for event in batch for one in event.deliveries
        }


@pytest.mark.parametrize("cut", [1, 3, 20, 50, 200])
@pytest.mark.parametrize("cut_again", [1, 7, 32, 33, 200])
def test_an_event_that_comes_again_goes_where_it_went_however_it_is_batched(cut, cut_again):
    placement, arrived = Placement(400), events(200)

    def route(cut):
        went = {}
        for n in range(0, 200, cut):
            went |= places(placement.share_out(arrived[n : n + cut], UP))
        return went

    assert route(cut) == route(cut_again) == route(cut)


def test_the_same_batch_goes_to_the_same_deliverer_by_a_responder_that_remembers_nothing():
    for n in range(0, 400, 8):
        first, second = (Placement(1000).share_out(events(8, n), UP) for _responder in range(2))
        assert first == second


def test_what_the_dead_had_goes_to_others():
    placement = Placement(1000)
    before = places(placement.share_out(events(8), UP))
    left = [peer for peer in UP if peer.path not in before.values()]
    after = places(placement.share_out(events(8), left))
    assert after.keys() == before.keys()
    assert places(placement.share_out(events(8), UP)) == after


def test_no_more_is_remembered_than_can_come_again():
    placement = Placement(10)
    placement.share_out(events(200), UP)
    assert len(placement) == 10


def test_all_are_shared_out_under_the_tags_of_their_events():
    batch = [*events(40, each=3), EventToPlace("no hook", 99, [])]
    shares = Placement(1000).share_out(batch, UP)
    for event in batch:
        given = [one for share in shares.values() for one in share.get(event.tag, [])]
        assert sorted(one.id for one in given) == sorted(one.id for one in event.deliveries)


def test_a_hook_with_an_id_that_is_no_text_has_its_deliverer():
    up = deliverers_among(PEERS)
    assert deliverer_for(delivery("1", "\ud800", ordered=True), up) in up


def test_the_event_that_was_placed_first_is_forgotten_first():
    """One that is remembered stays where it is, though the others of its batch go elsewhere."""

    def place(placement, *numbers):
        return places(placement.share_out([events(1, n)[0] for n in numbers], UP))

    mine = place(Placement(9), 0)["0 0"]
    leader, earlier, *_more = (
        n for n in range(1, 99) if mine not in place(Placement(9), n).values()
    )
    placement = Placement(1)
    place(placement, earlier)
    place(placement, 0)
    assert place(placement, leader, 0)["0 0"] == mine
