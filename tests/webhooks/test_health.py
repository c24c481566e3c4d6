import pytest

from callboard.webhooks.metrics.health import NotReady, Ready, readiness

CHILDREN = {"event_bridge": "running", "deliveries/deliverer-1": "running", "initializer": "ended"}
BROKERS = {"event_bridge": 1, "failure_cache": 1, "zone_listener-1": 1}


def problems(children=CHILDREN, tree_age_s=1.0, brokers=BROKERS, store_problem=""):
    found = readiness(children, tree_age_s, brokers, store_problem)
    return found.problems if isinstance(found, NotReady) else ()


def test_all_well():
    assert readiness(CHILDREN, 1.0, BROKERS, "") == Ready()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"children": {**CHILDREN, "event_bridge": "down"}}, "event_bridge is down"),
        ({"children": {**CHILDREN, "event_bridge": "starting"}}, "event_bridge is starting"),
        ({"brokers": {**BROKERS, "event_bridge": 0}}, "the broker is down for event_bridge"),
        ({"children": {}}, "the top supervisor has not answered yet"),
        ({"brokers": {}}, "no actor is connected to the broker yet"),
        ({"store_problem": None}, "the store has not answered yet"),
        ({"store_problem": "no route"}, "the store is down: no route"),
        ({"tree_age_s": 30.0}, "the top supervisor has not answered for 30 s"),
    ],
)
def test_each_thing_that_is_wrong_is_named(state, words):
    assert problems(**state) == (words,)


def test_all_that_is_wrong_is_named_together():
    assert len(problems({"a": "down", "b": "stopping"}, 1, {"c": 0}, "gone")) == 4


def test_the_broker_of_another_zone_does_not_matter():
    assert problems(brokers={**BROKERS, "zone_listener-1": 0}) == ()
