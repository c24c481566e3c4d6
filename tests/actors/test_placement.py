"""Which deliverer has which delivery."""

from attrs import evolve

from callboard.actors.base.placement import deliverer_for, deliverers_among, is_remote
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
