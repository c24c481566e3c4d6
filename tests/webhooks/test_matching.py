import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.events.directory import Account
from callboard.webhooks.hooks.matching import HookIndex, candidates, fires
from support.hooks import hooks_with, index_of

hook = hooks_with(event="object")


def ids(hooks):
    return [one.id for one in hooks]


def test_an_account_s_own_hooks_on_the_event_or_on_all():
    index = index_of(hook("1"), hook("2", event="all"), hook("3", event="parking"), hook("4", "b"))
    assert sorted(ids(candidates(index, Account("a"), "object"))) == ["1", "2"]


def test_ancestors_follow_in_the_order_of_the_tree():
    index = index_of(
        hook("top", "t", include_subaccounts=True),
        hook("top-own", "t"),
        hook("middle", "m", event="all", include_subaccounts=True),
        hook("own", "a"),
        hook("below", "b", include_subaccounts=True),
    )
    found = candidates(index, Account("a", ("t", "m")), "object")
    assert ids(found) == ["own", "top", "middle"]


def test_an_account_in_its_own_tree_fires_once():
    index = index_of(hook("1", include_subaccounts=True))
    assert ids(candidates(index, Account("a", ("a",)), "object")) == ["1"]


def test_a_hook_on_all_is_found_once_for_the_event_all():
    assert ids(index_of(hook("1", event="all")).of("a", "all")) == ["1"]


def test_putting_replaces_even_when_the_event_changes():
    index = index_of(hook("1"), hook("1", event="parking", max_attempts=5))
    assert len(index) == 1
    assert not ids(index.of("a", "object"))
    assert index.get("a", "1").max_attempts == 5


def test_removing_tells_whether_it_was_there():
    index = index_of(hook("1"), hook("2"))
    assert index.remove("a", "1")
    assert not index.remove("a", "1")
    assert not index.remove("b", "2")
    assert ids(index) == ["2"]


def test_removing_an_account_leaves_the_others():
    index = index_of(hook("1"), hook("2"), hook("3", event="all"), hook("4", "b"))
    assert index.remove_account("a") == 3
    assert index.remove_account("a") == 0
    assert (ids(index), len(index)) == (["4"], 1)


def test_clearing_forgets_everything():
    index = index_of(hook("1"), hook("2"))
    index.clear()
    assert (len(index), ids(index), index.get("a", "1")) == (0, [], None)


hooks = st.builds(
    hook,
    st.sampled_from("123"),
    st.sampled_from("ab"),
    st.sampled_from(["object", "parking", "all"]),
    max_attempts=st.integers(1, 5),
)
changes = st.one_of(
    st.tuples(st.just("put"), hooks),
    st.tuples(st.just("remove"), st.tuples(st.sampled_from("ab"), st.sampled_from("123"))),
    st.tuples(st.just("remove_account"), st.sampled_from("ab")),
)


@given(st.lists(changes, max_size=40))
def test_the_index_holds_what_a_plain_dictionary_would(steps):
    index, model = HookIndex(), {}
    for change, subject in steps:
        if change == "put":
            index.put(subject)
            model[subject.account_id, subject.id] = subject
        elif change == "remove":
            assert index.remove(*subject) == (model.pop(subject, None) is not None)
        else:
            gone = [key for key in model if key[0] == subject]
            assert index.remove_account(subject) == len(gone)
            model = {key: value for key, value in model.items() if key[0] != subject}
    assert len(index) == len(model)
    assert {(one.account_id, one.id): one for one in index} == model
    for account_id in "ab":
        for event in ("object", "parking", "all"):
            wanted = {
                id
                for (owner, id), one in model.items()
                if owner == account_id and one.event in (event, "all")
            }
            found = ids(index.of(account_id, event))
            assert (set(found), len(found)) == (wanted, len(wanted))
        for id in "123":
            assert index.get(account_id, id) == model.get((account_id, id))


@pytest.mark.parametrize(
    ("modifiers", "passes"),
    [
        ({}, True),
        ({"direction": "inbound"}, True),
        ({"direction": "outbound"}, False),
        ({"absent": "anything"}, True),
        ({"direction": []}, True),
        ({"direction": ["outbound", "inbound"]}, True),
        ({"direction": ["outbound"]}, False),
        ({"direction": "inbound", "count": 2}, False),
        ({"count": 1}, True),
        ({"count": True}, False),
        ({"flag": True}, True),
        ({"flag": 1}, False),
        ({"flag": [1]}, False),
        ({"nothing": None}, True),
        ({"nothing": "x"}, False),
        ({"tags": ["a"]}, False),
        ({"tags": [["a"]]}, True),
    ],
)
def test_modifiers_let_a_payload_through_or_not(modifiers, passes):
    payload = {"direction": "inbound", "count": 1, "flag": True, "nothing": None, "tags": ["a"]}
    assert fires(hook("1", modifiers=modifiers), payload) is passes
