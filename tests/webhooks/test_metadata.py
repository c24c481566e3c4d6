from callboard.webhooks.modules.kazoo.channel_create import MODULE
from callboard.webhooks.modules.metadata import metadata_update

MASTER = "0a" * 16
MODIFIED = {"type": {"type": "array", "items": ["all", "user"]}}


def update(existing, modifiers=None, now=200):
    return metadata_update(existing, MODULE, MASTER, "apps@one", now, modifiers or {})


def test_a_new_document():
    document = update(None, now=100)
    digest = document.pop("pvt_document_hash")
    assert len(digest) == 32
    assert document == {
        "_id": "webhooks_channel_create",
        "name": "Channel Create",
        "description": MODULE.description,
        "pvt_type": "webhook_meta",
        "pvt_account_id": MASTER,
        "pvt_account_db": "account%2F0a%2F0a%2F" + "0a" * 14,
        "pvt_created": 100,
        "pvt_modified": 100,
        "pvt_node": "apps@one",
    }


def test_modifiers_are_told_where_there_are_any():
    assert update(None, MODIFIED)["modifiers"] == MODIFIED


def test_what_says_the_same_is_not_saved_again():
    stored = update(None, MODIFIED) | {"_rev": "1-a"}
    assert update(stored, MODIFIED, now=300) is None


def test_a_changed_text_is_saved_and_the_rest_stays():
    stored = update(None, now=100) | {"_rev": "1-a", "name": "Old", "note": "theirs"}
    changed = update(stored)
    assert (changed["name"], changed["note"], changed["_rev"]) == (
        "Channel Create",
        "theirs",
        "1-a",
    )
    assert (changed["pvt_created"], changed["pvt_modified"]) == (100, 200)
    assert update(changed | {"_rev": "2-b"}) is None


def test_objects_are_merged_deeply_and_nulls_dropped():
    stored = update(None) | {"modifiers": {"type": {"help": "theirs", "items": []}}, "x": None}
    changed = update(stored, MODIFIED)
    assert changed["modifiers"] == {
        "type": {"help": "theirs", "type": "array", "items": ["all", "user"]}
    }
    assert "x" not in changed


def test_the_hash_is_of_the_public_fields():
    one, other = update(None, now=1), update(None, now=2)
    assert one["pvt_document_hash"] == other["pvt_document_hash"]
    assert one["pvt_document_hash"] != update(None, MODIFIED)["pvt_document_hash"]


def test_a_null_of_ours_removes_their_key():
    stored = update(None) | {"modifiers": {"type": "theirs", "kept": 1}}
    assert update(stored, {"type": None})["modifiers"] == {"kept": 1}
