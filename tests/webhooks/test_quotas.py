"""What an account may have: its own quotas over the node's, and hooks that are too large."""

import pytest

from callboard.webhooks.hooks.quotas import QuotaExceeded, Quotas, check_count, check_document

SMALL = Quotas(hooks=2, hook_bytes=200, custom_data_bytes=50, custom_data_members=3)


def excess(document, before=None, quotas=SMALL):
    with pytest.raises(QuotaExceeded) as refused:
        check_document(document, quotas, before)
    assert str(refused.value) == refused.value.excess.reason
    return refused.value.excess


@pytest.mark.parametrize(
    ("document", "setting", "reason"),
    [
        (
            {"custom_data": {"a": "1", "b": {"c": "2", "d": "3"}}},
            "quotas.custom_data_members",
            "custom_data has 4 members: quotas.custom_data_members allows 3",
        ),
        (
            {"custom_data": {"a": ["1", "2", "3"]}},
            "quotas.custom_data_members",
            "custom_data has 4 members: quotas.custom_data_members allows 3",
        ),
        (
            {"custom_data": {"a": [{"b": "1", "c": "2"}]}},
            "quotas.custom_data_members",
            "custom_data has 4 members: quotas.custom_data_members allows 3",
        ),
        (
            {"custom_data": {"a": "é" * 21}},
            "quotas.custom_data_bytes",
            "custom_data has 51 bytes: quotas.custom_data_bytes allows 50",
        ),
        (
            {"name": "x" * 189},
            "quotas.hook_bytes",
            "hook has 201 bytes: quotas.hook_bytes allows 200",
        ),
    ],
)
def test_a_hook_too_large_is_refused_with_the_setting(document, setting, reason):
    found = excess(document)
    assert (found.setting, found.reason) == (setting, reason)


@pytest.mark.parametrize(
    "document",
    [
        {"custom_data": {"a": "1", "b": {"c": "2"}}},
        {"custom_data": {"a": "é" * 20 + "e"}},
        {"name": "x" * 188},
        {"name": "x", "pvt_secrets": "x" * 500, "_rev": "1-" + "x" * 500},
        {"name": "x", "custom_data": "no object"},
        {"name": "\ud800" * 188},  # half a character counts as one byte
    ],
)
def test_what_is_just_small_enough_is_not(document):
    check_document(document, SMALL)


def test_a_stored_hook_above_a_quota_may_be_edited_but_not_grow():
    stored = {"name": "n", "custom_data": {str(n): "" for n in range(4)}}
    check_document(stored | {"name": "other"}, SMALL, stored)
    check_document(stored | {"enabled": False}, SMALL, stored)
    check_document({"name": "n", "custom_data": {}}, SMALL, stored)
    grown = stored | {"custom_data": {str(n): "" for n in range(5)}}
    assert excess(grown, stored).setting == "quotas.custom_data_members"
    # A quota that the stored hook keeps is not lifted by one that it exceeds.
    assert excess(stored | {"name": "x" * 200}, stored).setting == "quotas.hook_bytes"


def test_a_hook_of_any_size_may_be_disabled():
    stored = {"name": "x" * 500, "enabled": True}
    check_document(stored | {"enabled": False}, SMALL, stored)


def test_the_number_of_hooks():
    check_count(1, SMALL)
    with pytest.raises(
        QuotaExceeded, match=r"the account has 2 hooks: quotas\.hooks allows 2"
    ) as no:
        check_count(2, SMALL, "a")
    found = no.value.excess
    assert (found.subject, found.setting, found.limit) == ("hooks", "quotas.hooks", 2)
    assert found.account_id == "a"


@pytest.mark.parametrize(
    ("config", "hooks"),
    [
        (None, 2),
        ({}, 2),
        ({"quotas": {"hooks": 7}}, 7),
        ({"quotas": {"hooks": "7"}}, 7),
        ({"quotas": {"hooks": 1}}, 1),
        *(({"quotas": bad}, 2) for bad in ({"hooks": 0}, {"hooks": -1}, {"hooks": True}, [7], "7")),
        ({"quotas": {"hooks": {}, "unknown": 3}}, 2),
    ],
)
def test_an_account_may_have_quotas_of_its_own(config, hooks):
    own = SMALL.of_account(config)
    assert own == Quotas(hooks=hooks, hook_bytes=200, custom_data_bytes=50, custom_data_members=3)
