"""Which hooks have changed since a delivery was made."""

from callboard.webhooks.retries.outdated_hooks import OutdatedHooks

A, B, C = (("account", id) for id in "abc")


def test_a_hook_is_outdated_by_its_later_changes():
    hooks = OutdatedHooks()
    hooks.add([A, B], 3)
    hooks.add([A], 5)
    assert [hooks.changed_since(A, change) for change in (2, 4, 5)] == [True, True, False]
    assert [hooks.changed_since(key, 0) for key in (B, C)] == [True, False]


def test_the_20000_hooks_that_changed_last_are_remembered():
    hooks = OutdatedHooks()
    others = [("account", str(n)) for n in range(19_998)]
    for change, keys in enumerate(([A, B], others, [A], [C]), 1):
        hooks.add(keys, change)
    assert len(hooks) == 20_000
    assert [hooks.changed_since(key, 0) for key in (A, B, C)] == [True, False, True]
