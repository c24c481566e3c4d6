"""Documents as Kazoo stores them."""

import hashlib

import pytest

from callboard.webhooks.values.documents import document_hash, merge, public_fields, stamped

DOCUMENT = {"_id": "i", "_rev": "1-a", "pvt_type": "webhook", "b": "x", "a": 1}
DIGEST = "75a6ce4be04f5075316047b75a98d8eb"
"""Of {"a":1,"b":"x"}, by md5sum."""


def test_what_is_private_begins_with_an_underscore_or_pvt():
    assert public_fields(DOCUMENT) == {"a": 1, "b": "x"}
    assert public_fields({"pvt": 1, "x_id": 2, "apvt_b": 3}) == {"pvt": 1, "x_id": 2, "apvt_b": 3}


def test_a_digest_is_of_the_public_fields_in_any_order():
    assert document_hash(DOCUMENT) == document_hash({"a": 1, "b": "x"}) == DIGEST
    assert stamped(DOCUMENT, "callboard@node", 63_900_000_000) == {
        **DOCUMENT,
        "pvt_modified": 63_900_000_000,
        "pvt_node": "callboard@node",
        "pvt_document_hash": DIGEST,
    }


def test_a_python_that_has_no_md5_for_security_makes_digests(monkeypatch):
    """As under FIPS 140."""
    md5 = hashlib.md5

    def for_other_uses(data, *, usedforsecurity=True):
        assert not usedforsecurity
        return md5(data, usedforsecurity=False)

    monkeypatch.setattr(hashlib, "md5", for_other_uses)
    assert document_hash(DOCUMENT) == DIGEST


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": None, "b": 2}, {"b": None, "c": None}, {}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": None, "z": 3}}, {"a": {"x": 1, "z": 3}}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": None}}, {"a": {"x": None}}),
    ],
)
def test_objects_are_merged_key_by_key(base, over, merged):
    assert merge(base, over) == merged
