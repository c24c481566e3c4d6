"""The hooks of every store, one page after the other."""

from callboard.adapters.repositories.hooks import HookStore


def test_pages_of_hooks_go_on_where_the_last_one_ended(store):
    store.ensure_database("webhooks")
    kinds = {"a": "webhook", "b": "webhook", "c": "webhook_meta", "d": "webhook", "e": "webhook"}
    store.save_many("webhooks", [{"_id": id, "pvt_type": kind} for id, kind in kinds.items()])
    hooks = HookStore(store)
    pages, after = [], ""
    while after is not None:
        page, after = hooks.after(after, 2)
        pages.append([hook["_id"] for hook in page])
    assert pages == [["a", "b"], ["d"], ["e"]]


def test_a_cursor_whose_hook_is_gone_still_leads_on(store):
    store.ensure_database("webhooks")
    store.save_many("webhooks", [{"_id": id, "pvt_type": "webhook"} for id in "acd"])
    page, after = HookStore(store).after("b", 2)
    assert ([hook["_id"] for hook in page], after) == (["c", "d"], None)
