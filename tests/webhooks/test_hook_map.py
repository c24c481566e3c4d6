"""Hooks by account and id, against a plain dictionary."""

from hypothesis import given
from hypothesis import strategies as st

from callboard.webhooks.hooks.hook import Hook
from callboard.webhooks.hooks.hook_map import HookMap, key_of

KEYS = st.tuples(st.sampled_from("abc"), st.sampled_from("123"))
STEPS = st.lists(st.tuples(st.sampled_from(("put", "remove")), KEYS, st.sampled_from("xy")))


@given(STEPS)
def test_it_holds_what_a_dictionary_by_account_and_id_holds(steps):
    hooks, plain = HookMap(), {}
    for what, key, uri in steps:
        hook = Hook(id=key[1], account_id=key[0], uri=uri, event="all")
        if what == "put":
            hooks.put(hook)
            plain[key] = hook
        else:
            hooks.remove(key)
            plain.pop(key, None)
        assert hooks.get(key) == plain.get(key)
    assert len(hooks) == len(plain)
    assert {key_of(hook): hook for hook in hooks} == plain
