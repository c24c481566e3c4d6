import importlib
import sys

import pytest

from callboard.webhooks.modules import discovery, kazoo
from callboard.webhooks.modules.bus_module import BusModule
from callboard.webhooks.modules.discovery import discover
from callboard.webhooks.modules.protocol import EventExchange

OWN = """
from attrs import evolve
from callboard.webhooks.modules.kazoo.skel import MODULE as EXAMPLE

MODULE = evolve(EXAMPLE, id="{id}", events=("{event}",))
"""

EXCHANGE = """
from callboard.webhooks.modules.protocol import EventExchange

MODULE = evolve(MODULE, exchanges=(*MODULE.exchanges, EventExchange("{}", "{}", {})))
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
    monkeypatch.undo()
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def installed(plugins, monkeypatch):
    """Installs a package with entry points, for as long as the test takes."""

    def install(entry_points, **files):
        folder = plugins(**files)
        info = folder / "cb_shop-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cb-shop\nVersion: 1\n")
        lines = [f"{name} = {target}\n" for name, target in entry_points.items()]
        (info / "entry_points.txt").write_text("[callboard.modules]\n" + "".join(lines))
        importlib.invalidate_caches()
        discovery._entry_points.cache_clear()

    yield install
    monkeypatch.undo()
    discovery._entry_points.cache_clear()


KAZOO_S = [
    *("channel_answer", "channel_bridge", "channel_create", "channel_destroy", "mms"),
    *("notifications", "object", "parking", "sms"),
]


def ids(found):
    return [module.id for module in found.modules]


def problems(found):
    return {problem.module: problem.reason for problem in found.problems}


def test_kazoo_s_modules_are_found_in_order_and_the_example_is_not():
    found = discover()
    assert ids(found) == KAZOO_S
    assert set(found.sources.values()) == {"file"}
    assert found.problems == ()


def test_only_the_chosen_modules_of_kazoo_run_and_all_others():
    shop = BusModule(id="shop", exchange=EventExchange("shop"), keys=("#",), account_id="a")
    assert ids(discover([shop], ("sms", "object"))) == ["object", "shop", "sms"]
    alone = discover([shop], ())
    assert ids(alone) == ["shop"]
    assert alone.known_events == {"shop"}
    assert alone.usual_events == {"shop", "all"}
    assert discover([shop]).usual_events == {"shop"}
    assert discover().usual_events == frozenset()


def test_a_chosen_module_that_kazoo_has_not_is_a_problem():
    found = discover((), ("sms", "smss"))
    assert ids(found) == ["sms"]
    assert problems(found) == {
        "smss": "kazoo.modules names it, but there is no such module for Kazoo"
    }


def test_without_kazoo_its_exchanges_may_be_of_any_kind():
    durable = EventExchange("configuration", durable=True)
    shop = BusModule(id="shop", exchange=durable, keys=("#",), account_id="a")
    assert ids(discover([shop], ())) == ["shop"]
    assert "shop" in problems(discover([shop]))


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
        (OWN.format(id="all", event="x"), "'all' is no id"),
        (OWN.format(id="a/b", event="x"), "'a/b' is no id: take lower-case letters"),
        (OWN.format(id="Order", event="x"), "'Order' is no id"),
        (OWN.format(id="sms", event="x"), "the id 'sms' is taken"),
        (OWN.format(id="x", event="x") + "MODULE = evolve(MODULE, exchanges=())", "binds to skel"),
        (
            OWN.format(id="x", event="x") + EXCHANGE.format("im", "topic", True),
            "exchange im is topic and durable here, but was declared topic and not durable before",
        ),
        (
            OWN.format(id="x", event="x") + EXCHANGE.format("targeted", "topic", False),
            "exchange targeted is topic and not durable here, but was declared direct and not",
        ),
        (
            OWN.format(id="x", event="x") + EXCHANGE.format("configuration", "topic", True),
            "exchange configuration is topic and durable here, but was declared topic and not",
        ),
    ],
)
def test_a_broken_module_is_reported_and_skips_nobody_else(text, reason, installed):
    installed(
        {"broken": "cb_broken", "fine": "cb_fine"},
        cb_broken=text,
        cb_fine=OWN.format(id="fine", event="order"),
    )
    found = discover()
    assert ids(found) == sorted([*KAZOO_S, "fine"])
    (problem,) = found.problems
    assert (problem.module, problem.source) == ("broken", "entry point")
    assert reason in problem.reason


def test_the_attribute_may_have_another_name(installed):
    installed(
        {"shop": "cb_shop:ORDERS", "lost": "cb_shop:PARCELS"},
        cb_shop=OWN.format(id="order", event="order").replace("MODULE =", "ORDERS ="),
    )
    found = discover()
    assert found.sources["order"] == "entry point"
    assert "PARCELS" in problems(found)["lost"]


def test_of_two_modules_with_one_id_the_first_counts(installed):
    installed(
        {"one": "cb_one", "two": "cb_two:MODULE"},
        cb_one=OWN.format(id="same", event="one"),
        cb_two=OWN.format(id="same", event="two"),
    )
    found = discover()
    assert [m.events for m in found.modules if m.id == "same"] == [("one",)]
    assert "'same' is taken" in problems(found)["two"]


def test_a_file_of_the_folder_is_found(plugins, monkeypatch):
    folder = plugins(own_module=OWN.format(id="own", event="own"))
    monkeypatch.setattr(kazoo, "__path__", [*kazoo.__path__, str(folder)])
    discovery._kazoos.cache_clear()
    try:
        assert ids(discover()) == sorted([*KAZOO_S, "own"])
        assert discover().sources["own"] == "file"
    finally:
        discovery._kazoos.cache_clear()


SHOP = EventExchange("shop", durable=True)


def table(id="orders", exchange=SHOP):
    return BusModule(id=id, exchange=exchange, keys=("order.#",), account="account")


def test_the_configuration_s_modules_come_last():
    found = discover((table(),))
    assert found.problems == ()
    assert found.sources["orders"] == "configuration"
    assert ids(found) == sorted([*KAZOO_S, "orders"])


def test_a_table_that_cannot_be_is_reported_and_skips_nobody_else():
    found = discover(
        (
            table("SMS"),
            table("twice"),
            table("Twice"),
            table("changed", EventExchange("shop", "fanout", durable=True)),
            table("kazoo_s", EventExchange("callevt", durable=True)),
            table("fine"),
        )
    )
    assert ids(found) == sorted([*KAZOO_S, "twice", "fine"])
    assert {problem.source for problem in found.problems} == {"configuration"}
    assert problems(found) == {
        "sms": "the id 'sms' is taken by another module",
        "twice": "the id 'twice' is taken by another module",
        "changed": "exchange shop is fanout and durable here, "
        "but was declared topic and durable before",
        "kazoo_s": "exchange callevt is topic and durable here, "
        "but was declared topic and not durable before",
    }


def test_systems_of_one_process_have_their_own_tables():
    one, other, none = discover((table("one"),)), discover((table("other"),)), discover()
    assert "one" in ids(one)
    assert "other" not in ids(one)
    assert "other" in ids(other)
    assert ids(none) == KAZOO_S
