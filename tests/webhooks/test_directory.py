import pytest

from callboard.webhooks.events.directory import resolve_setting

DOCUMENT = {
    "_id": "webhooks",
    "apps@one": {"count": 1},
    "west": {"count": 2, "expiry": 20},
    "default": {"count": 3, "expiry": 30, "zero": 0, "off": False, "nothing": None},
    "odd": "not a section",
}


@pytest.mark.parametrize(
    ("node", "zone", "key", "value"),
    [
        ("apps@one", "west", "count", 1),
        ("apps@two", "west", "count", 2),
        ("apps@one", "west", "expiry", 20),
        ("apps@two", "east", "count", 3),
        ("odd", "odd", "count", 3),
        ("apps@one", "west", "zero", 0),
        ("apps@one", "west", "off", False),
        ("apps@one", "west", "nothing", "fallback"),
        ("apps@one", "west", "unknown", "fallback"),
    ],
)
def test_the_nearest_section_that_has_the_key_decides(node, zone, key, value):
    assert resolve_setting(DOCUMENT, node, zone, key, "fallback") == value


def test_without_a_document_everything_is_its_default():
    assert resolve_setting(None, "node", "zone", "count", 6) == 6
