import importlib
import sys

import pytest

from callboard.webhooks.directory import Account
from callboard.webhooks.event import Event
from callboard.webhooks.modules import discover, load
from callboard.webhooks.modules.skel import MODULE as SKEL

OWN = """
from attrs import evolve
from callboard.webhooks.modules.skel import MODULE as EXAMPLE

MODULE = evolve(EXAMPLE, id="{id}", events=("{event}",))
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Writes Python files that can be imported, and forgets them afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def fresh_discovery():
    discover.cache_clear()
    yield
    discover.cache_clear()


def test_the_channel_modules_are_found_in_order_and_the_example_is_not():
    found = discover()
    ids = [module.id for module in found.modules]
    assert {"channel_answer", "channel_create", "channel_destroy"} <= set(ids)
    assert ids == sorted(ids)
    assert "skel" not in ids
    assert found.problems == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def broken(:", "SyntaxError"),
        ("import there_is_no_such_module", "ModuleNotFoundError"),
        ("raise RuntimeError('on import')", "RuntimeError: on import"),
        ("", "MODULE"),
        ("MODULE = object()", "lacks id, name, description"),
        (OWN.format(id="x", event="ORDER"), "no hook matches the event 'ORDER': call it 'order'"),
        (OWN.format(id="x", event="channel_create"), "call it 'CHANNEL_CREATE'"),
    ],
)
def test_a_broken_module_is_reported_and_stops_nobody_else(text, reason, plugins):
    plugins(cb_broken=text, cb_fine=OWN.format(id="fine", event="order"))
    found = load([("broken", "cb_broken"), ("fine", "cb_fine")])
    assert [module.id for module in found.modules] == ["fine"]
    (problem,) = found.problems
    assert problem.module == "broken"
    assert reason in problem.reason


def test_the_attribute_may_have_another_name(plugins):
    plugins(cb_shop=OWN.format(id="order", event="order").replace("MODULE =", "ORDERS ="))
    found = load([("shop", "cb_shop:ORDERS"), ("lost", "cb_shop:PARCELS")])
    assert [module.id for module in found.modules] == ["order"]
    assert [problem.module for problem in found.problems] == ["lost"]
    assert "PARCELS" in found.problems[0].reason


def test_of_two_modules_with_one_id_the_first_counts(plugins):
    plugins(cb_one=OWN.format(id="same", event="one"), cb_two=OWN.format(id="same", event="two"))
    found = load([("one", "cb_one"), ("two", "cb_two:MODULE")])
    assert [module.events for module in found.modules] == [("one",)]
    assert "'same' is taken" in found.problems[0].reason


@pytest.mark.usefixtures("fresh_discovery")
def test_modules_of_other_packages_come_by_entry_point(plugins):
    folder = plugins(cb_shop=OWN.format(id="aaa_orders", event="aaa_orders"))
    info = folder / "cb_shop-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cb-shop\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[callboard.modules]\norders = cb_shop:MODULE\nlost = cb_lost:MODULE\n"
    )
    importlib.invalidate_caches()
    found = discover()
    assert found.modules[0].id == "aaa_orders"
    assert [problem.module for problem in found.problems] == ["lost"]


def test_the_example_does_what_it_says(directory):
    directory.accounts["a"] = Account("a")
    told = {"Event-Category": "category", "Event-Name": "name", "Account-ID": "a", "What": "x"}
    assert load([("skel", "callboard.webhooks.modules.skel")]).problems == ()
    assert SKEL.responds_to(Event(told))
    assert not SKEL.responds_to(Event({**told, "Event-Name": "other"}))
    firing = SKEL.firing(Event(told), directory)
    assert (firing.account_id, firing.event, firing.payload) == ("a", "skel", {"what": "x"})
    assert SKEL.firing(Event({"What": "x"}), directory) is None
