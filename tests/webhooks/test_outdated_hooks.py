"""Which hooks have changed since a delivery was made."""

from callboard.webhooks.retries import outdated_hooks
from callboard.webhooks.retries.outdated_hooks import OutdatedHooks

A, B, C = (("account", id) for id in "abc")


def test_a_hook_is_outdated_by_its_later_changes():
    hooks = OutdatedHooks()
    hooks.add([A, B], 3)
    hooks.add([A], 5)
    assert [hooks.changed_since(A, change) for change in (2, 4, 5)] == [True, True, False]
    assert [hooks.changed_since(key, 0) for key in (B, C)] == [True, False]


def test_the_hooks_that_changed_last_are_remembered(monkeypatch):
    monkeypatch.setattr(outdated_hooks, "REMEMBERED", 2)
    hooks = OutdatedHooks()
    for change, key in enumerate((A, B, A, C), 1):
        hooks.add([key], change)
    assert len(hooks) == 2
    assert [hooks.changed_since(key, 0) for key in (A, B, C)] == [True, False, True]
