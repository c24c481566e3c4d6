import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.hooks.hook import InvalidHook, parse_hook
from callboard.webhooks.hooks.secrets import (
    MEMBER,
    SecretsRefused,
    StoredSecret,
    adding,
    reencrypting,
    replacing,
    retiring,
    stored_secrets,
    without_secrets,
)

HOOK = {"_id": "h", "pvt_account_id": "a", "uri": "https://e.example/", "hook": "all"}


def stored(number):
    return StoredSecret(f"f{number}", "hmac-sha256", 63_800_000_000 + number, f"sealed {number}")


PAIR = StoredSecret("fp", "ed25519", 63_800_000_000, "sealed pair", "whpk_abc")


def hook_with(*secrets):
    document = HOOK
    for secret in secrets:
        document = document | adding(document, secret)
    return json.loads(json.dumps(document))  # as a store gives it back


def test_the_newest_comes_first_and_all_of_it_is_kept():
    document = hook_with(stored(1), PAIR, stored(2))
    assert stored_secrets(document) == (stored(2), PAIR, stored(1))
    options = parse_hook(document, ()).options
    assert options.secrets == ("sealed 2", "sealed pair", "sealed 1")
    assert "sealed" not in repr(options)


def test_the_same_one_is_not_added_again():
    assert adding(hook_with(stored(1), stored(2)), stored(1)) == {}


def test_there_is_room_for_five():
    document = hook_with(*map(stored, range(5)))
    with pytest.raises(SecretsRefused, match="has 5 secrets already: retire one"):
        adding(document, stored(5))
    document |= retiring(document, "f0")
    assert stored_secrets(document | adding(document, stored(9)))[0] == stored(9)


def test_a_secret_that_ended_before_1970_has_ended():
    """In Unix seconds 0 is no end."""
    for until, unix_s in ((5, 1), (62_167_219_201, 1), (62_167_219_202, 2)):
        document = hook_with(evolve(stored(1), until=until))
        assert parse_hook(document, ()).options.secrets_until == (unix_s,)


def test_the_others_may_end_by_themselves():
    document = hook_with(stored(1), stored(2))
    document |= adding(document, stored(3), others_until=63_800_000_100)
    assert [secret.until for secret in stored_secrets(document)] == [None, *[63_800_000_100] * 2]
    assert parse_hook(document, ()).options.secrets_until == (
        0,
        *[63_800_000_100 - 62_167_219_200] * 2,
    )
    # An end may come earlier than was said, not later.
    later = document | adding(document, stored(4), others_until=63_800_000_200)
    assert [s.until for s in stored_secrets(later)] == [
        *(None, 63_800_000_200),
        *[63_800_000_100] * 2,
    ]
    sooner = document | adding(document, stored(4), others_until=63_800_000_050)
    assert [s.until for s in stored_secrets(sooner)] == [None, *[63_800_000_050] * 3]


def test_secrets_that_have_ended_take_no_room_and_go_with_the_next_change():
    document = hook_with(*map(stored, range(4)))
    document |= adding(document, stored(4), others_until=63_800_000_050)
    newest = evolve(stored(9), since=63_800_000_049)
    with pytest.raises(SecretsRefused, match="has 5 secrets already"):
        adding(document, newest)
    newest = evolve(stored(9), since=63_800_000_050)
    assert stored_secrets(document | adding(document, newest)) == (newest, stored(4))


def test_retiring_leaves_the_others_and_at_last_none():
    document = hook_with(stored(1), PAIR)
    document |= retiring(document, "f1")
    assert stored_secrets(document) == (PAIR,)
    document |= retiring(document, "fp")
    assert stored_secrets(document) == ()
    assert parse_hook(document, ()).options.secrets == ()
    with pytest.raises(SecretsRefused, match="no secret with the fingerprint fp; it has none"):
        retiring(document, "fp")


def test_an_unknown_fingerprint_is_told_which_there_are():
    with pytest.raises(SecretsRefused, match="fingerprint f; it has f2, f1"):
        retiring(hook_with(stored(1), stored(2)), "f")


def test_encrypting_anew_changes_nothing_else_and_only_what_is_old():
    document = hook_with(stored(1), PAIR)
    changes = reencrypting(document, lambda text: text.replace("sealed 1", "anew 1"))
    assert stored_secrets(changes) == (PAIR, evolve(stored(1), encrypted="anew 1"))
    assert reencrypting(document, lambda text: text) == {}
    assert reencrypting(HOOK, lambda text: "anew") == {}


@pytest.mark.parametrize(
    "member",
    [
        "s",
        {"fingerprint": "f"},
        ["sealed"],
        [None],
        [{"fingerprint": "f", "kind": "hmac-sha256"}],
        [{"fingerprint": 1, "kind": "hmac-sha256", "encrypted": "x"}],
    ],
)
def test_what_are_no_secrets_keeps_a_hook_from_firing_unsigned(member):
    document = HOOK | {"pvt_secrets": member}
    with pytest.raises(SecretsRefused, match="pvt_secrets"):
        stored_secrets(document)
    with pytest.raises(InvalidHook, match="pvt_secrets"):
        parse_hook(document, ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["fingerprint", "kind", "since", "encrypted", "public_key"]), inner
        )
    ),
)


@given(JSON)
def test_whatever_the_store_holds_is_understood_or_refused(member):
    try:
        secrets = stored_secrets({"pvt_secrets": member})
    except SecretsRefused:
        return
    assert len(secrets) == len(member or ())


def test_a_document_for_others_to_see_has_none():
    assert without_secrets(hook_with(stored(1))) == HOOK


def test_a_document_without_secrets_has_none_to_retire():
    with pytest.raises(SecretsRefused) as refused:
        retiring(HOOK, "f1")
    assert str(refused.value) == "the hook has no secret with the fingerprint f1; it has none"


@pytest.mark.parametrize(
    ("member", "written", "read"),
    [
        ("since", None, 0),
        ("since", "x", 0),
        ("until", 0, None),
        ("until", -1, None),
        ("until", 1, 1),
    ],
)
def test_a_time_that_is_none_is_left_out(member, written, read):
    document = hook_with(stored(1))
    document[MEMBER][0][member] = written
    (secret,) = stored_secrets(document)
    assert getattr(secret, member) == read


def test_a_secret_that_lacks_a_member_is_named_by_its_number():
    document = hook_with(stored(1), stored(2))
    del document[MEMBER][1]["kind"]
    with pytest.raises(SecretsRefused) as refused:
        stored_secrets(document)
    assert str(refused.value) == f"{MEMBER}: number 2 lacks one of fingerprint, kind, encrypted"


def test_a_hook_may_be_given_five_secrets_at_once():
    assert len(replacing([stored(number) for number in range(5)])[MEMBER]) == 5
    with pytest.raises(SecretsRefused, match="the hook would have 6 secrets: 5 at most"):
        replacing([stored(number) for number in range(6)])
    assert replacing([]) == {MEMBER: None}
