"""All hooks of an account in one request: the difference, and what is asked of the listener."""

import pytest

from callboard.actors.messages.bulk import HooksPut, PutHooks
from callboard.webhooks.hooks.hook import new_hook
from support.api import OTHER, PARENT, Api

BULK = f"/v2/accounts/{PARENT}/webhooks/bulk"


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path)
    api.backend.answers[PutHooks] = lambda message: HooksPut(
        (*(put.id for put in message.puts), *(removed.id for removed in message.removed))
    )
    yield api
    api.store.close()


def hook(name, **members):
    return {"name": name, "uri": "https://x.example/", "hook": "channel_create", **members}


def store(api, id, account=PARENT, **members):
    document = {**hook(id, **members), "pvt_account_id": account}
    api.store.ensure_database("webhooks")
    api.store.save("webhooks", new_hook(document, 0, id, "node"))


def sent(api):
    return [message for _path, message in api.backend.asked]


def test_the_difference_is_made(api):
    store(api, "same")
    store(api, "other", retries=3)
    store(api, "gone")
    store(api, "theirs", OTHER)
    hooks = [hook("same"), hook("other", retries=2), hook("new", id="new")]
    answer = api.data("POST", BULK, {"hooks": hooks})
    assert answer == {
        "added": ["new"],
        "changed": {"other": ["retries"]},
        "removed": [],
        "unchanged": 1,
        "refused": {},
        "dry_run": False,
    }
    (message,) = sent(api)
    assert [(put.id, put.account_id) for put in message.puts] == [
        ("other", PARENT),
        ("new", PARENT),
    ]
    pruned = api.data("POST", BULK, {"hooks": hooks, "prune": True, "dry_run": True})
    assert (pruned["removed"], pruned["dry_run"]) == (["gone"], True)
    assert len(sent(api)) == 1
    api.data("POST", BULK, {"hooks": hooks, "prune": True})
    assert [removed.id for removed in sent(api)[1].removed] == ["gone"]


def test_what_is_refused_is_told_by_id(api):
    api.backend.answers[PutHooks] = HooksPut(("b",), {"a": "why"})
    hooks = [hook("a", id="a"), hook("b", id="b")]
    answer = api.data("POST", BULK, {"hooks": hooks})
    assert (answer["added"], answer["refused"]) == (["b"], {"a": "why"})


def test_of_what_is_refused_nothing_is_shown_as_done(api):
    store(api, "other", retries=3)
    store(api, "gone")
    api.backend.answers[PutHooks] = HooksPut((), {"other": "why"})
    hooks = [hook("other", retries=2)]
    answer = api.data("POST", BULK, {"hooks": hooks, "prune": True})
    assert (answer["changed"], answer["removed"], answer["refused"]) == ({}, [], {"other": "why"})
    dry = api.data("POST", BULK, {"hooks": hooks, "prune": True, "dry_run": True})
    assert (dry["changed"], dry["removed"]) == ({"other": ["retries"]}, ["gone"])


def test_many_hooks_are_sent_in_parts(api):
    hooks = [hook(f"h{n}") for n in range(501)]
    assert len(api.data("POST", BULK, {"hooks": hooks})["added"]) == 501
    assert [len(message.puts) for message in sent(api)] == [500, 1]


@pytest.mark.parametrize(
    ("data", "member", "words"),
    [
        ({}, "hooks", "required"),
        ({"hooks": {}}, "hooks", "type"),
        ({"hooks": [1]}, "hooks", "1 is no hook"),
        ({"hooks": [hook("a"), {"uri": "https://x/"}]}, "hooks", "hooks.1"),
        ({"hooks": [{"uri": "https://x/"}]}, "hooks", "give it an id or a name"),
        ({"hooks": [hook("a", secrets=["env:HOME"])]}, "hooks", "secrets are added by"),
        ({"hooks": [hook("a", secrets=["file:/etc/passwd"])]}, "hooks", "secrets are added by"),
        ({"hooks": [], "prun": True}, "prun", "there are only"),
        ({"hooks": [], "prune": "yes"}, "prune", "type"),
    ],
)
def test_what_is_no_declaration_is_refused_as_a_whole(api, data, member, words):
    answer = api.call("POST", BULK, data)
    assert (answer.status_code, list(answer.json()["data"])) == (400, [member])
    assert words in answer.text
    assert sent(api) == []


def test_ten_thousand_hooks_are_read_up_to_the_first_that_is_none(api):
    answer = api.call("POST", BULK, {"hooks": [{}] * 10_000})
    assert list(answer.json()["data"]["hooks"]) == ["error"]


def test_a_hook_of_another_account_is_not_taken(api):
    store(api, "theirs", OTHER)
    api.data("POST", BULK, {"hooks": [hook("x", id="theirs", account=OTHER)]})
    ((put,),) = [message.puts for message in sent(api)]
    assert (put.account_id, put.rev) == (PARENT, None)  # Which the listener refuses.
