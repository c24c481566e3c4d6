from callboard.webhooks.events.event import Event
from callboard.webhooks.modules.discovery import EXAMPLE, FILE, admit, candidate, discover
from callboard.webhooks.modules.kazoo.skel import MODULE

TOLD = {
    "Event-Category": "category",
    "Event-Name": "name",
    "Account-ID": "1b" * 16,
    "What": "a thing",
}


def test_the_example_would_be_a_module_and_is_never_loaded():
    found = admit([candidate(FILE, "skel", lambda: MODULE)])
    assert found.problems == ()
    assert found.modules == (MODULE,)
    assert EXAMPLE not in discover().sources


def test_it_does_what_it_says(fire, hook, directory):
    assert fire(MODULE, TOLD, hook("skel")) == {"h": {"what": "a thing"}}
    assert fire(MODULE, TOLD | {"Event-Name": "other"}, hook("skel")) == {}
    assert MODULE.firing(Event({"What": "a thing"}), directory) is None
    assert MODULE.modifiers(directory) == {}


def test_it_is_bound_to_all_messages_of_its_exchange():
    assert (MODULE.id, MODULE.name, MODULE.events) == ("skel", "Skel", ("skel",))
    assert [exchange.name for exchange in MODULE.exchanges] == ["skel"]
    assert MODULE.bindings == (("skel", "skel.*"),)
