"""`callboard hooks`, of a system that answers as the actor of hooks does."""

import json

import pytest

from callboard.actors.messages import (
    AddHook,
    EditHook,
    GetHook,
    HookList,
    HookProblem,
    HookProblems,
    HookSaved,
    ListHookProblems,
    ListHooks,
    RemoveHook,
)
from callboard.admin import Refused

LISTENER = "hook_listener"
URI = "https://1.1.1.1/in"
DOCUMENT = {"_id": "h1", "pvt_account_id": "a", "uri": URI, "hook": "all", "enabled": True}
ORDER = "warning: with several nodes, the order of events needs amqp.single_active_consumer\n"


def test_a_hook_is_added_with_its_fields_and_the_defaults(running):
    running.answer(AddHook, HookSaved(DOCUMENT), HookSaved(DOCUMENT))
    ran = running.run("hooks", "add", URI, "--account", "a" * 32, "--event", "object")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "added hook h1\n", "")
    document = {
        "name": URI,
        "hook": "object",
        "http_verb": "post",
        "format": "json",
        "retries": 2,
        "uri": URI,
        "pvt_account_id": "a" * 32,
    }
    assert running.asked == [(LISTENER, AddHook(document))]
    ran = running.run("hooks", "add", URI, "--account", "a" * 32, "--json")
    assert json.loads(ran.stdout) == DOCUMENT


@pytest.mark.parametrize(
    ("options", "settings", "warned"),
    [
        (("--ordered",), {"CALLBOARD_AMQP_URL": "amqp://h/"}, ORDER),
        (("--ordered",), {}, ""),
        ((), {"CALLBOARD_AMQP_URL": "amqp://h/"}, ""),
        (
            ("--ordered",),
            {"CALLBOARD_AMQP_URL": "amqp://h/", "CALLBOARD_AMQP_SINGLE_ACTIVE_CONSUMER": "true"},
            "",
        ),
    ],
)
def test_an_ordered_hook_of_several_nodes_is_warned_of(running, options, settings, warned):
    running.answer(AddHook, HookSaved(DOCUMENT))
    running.answer(EditHook, HookSaved(DOCUMENT))
    assert running.run("hooks", "add", URI, "--account", "a", *options, **settings).stderr == warned
    edited = running.run("hooks", "edit", "h1", "--name", "n", *options, **settings)
    assert edited.stderr == warned


def test_a_url_that_cannot_be_used_is_warned_of(running):
    inside = DOCUMENT | {"uri": "http://10.0.0.7/"}
    running.answer(AddHook, *[HookSaved(inside)] * 2)
    running.answer(EditHook, *[HookSaved(inside)] * 2)
    added = ("hooks", "add", "http://10.0.0.7/", "--account", "a")
    ran = running.run(*added)
    assert ran.stderr.startswith("warning: ")
    assert "10.0.0.7" in ran.stderr
    assert running.run(*added, CALLBOARD_DELIVERY_ALLOW_NETWORKS="10.0.0.0/8").stderr == ""
    assert running.run("hooks", "edit", "h1", "--uri", "http://10.0.0.7/").stderr == ran.stderr
    assert running.run("hooks", "edit", "h1", "--name", "n").stderr == ""


@pytest.mark.parametrize("is_checked", [False, True])
def test_options_of_the_hook_count_as_deliveries_apply_them(running, is_checked):
    """Kazoo's own behaviour is that of the hooks that were not saved by Callboard's rules."""
    own = {"uri": "http://10.0.0.7/", "allow_networks": ["10.0.0.0/8"]}
    running.answer(AddHook, *[HookSaved(DOCUMENT | own | {"pvt_endpoint_checked": is_checked})] * 3)

    def is_warned_of(**settings):
        added = ("hooks", "add", "http://10.0.0.7/", "--account", "a")
        return bool(running.run(*added, **settings).stderr)

    assert is_warned_of()
    assert not is_warned_of(CALLBOARD_DELIVERY_HOOK_OPTIONS="allow_networks")
    assert is_warned_of(CALLBOARD_KAZOO_COMPATIBLE="true") is is_checked


def test_a_hook_is_shown(running):
    running.answer(GetHook, HookSaved(DOCUMENT), HookSaved(DOCUMENT))
    assert running.run("hooks", "show", "h1").stdout.splitlines() == [
        "_id: h1",
        "pvt_account_id: a",
        f"uri: {URI}",
        "hook: all",
        "enabled: true",
    ]
    assert json.loads(running.run("hooks", "show", "h1", "--json").stdout) == DOCUMENT
    assert running.asked == [(LISTENER, GetHook("h1"))] * 2


def test_a_hook_is_changed(running):
    running.answer(EditHook, *[HookSaved(DOCUMENT)] * 2)
    edit = ("hooks", "edit", "h1", "--name", "n", "--unset", "group")
    assert running.run(*edit).stdout == "changed hook h1: group, name\n"
    assert running.asked == [(LISTENER, EditHook("h1", {"group": None, "name": "n"}))]
    assert json.loads(running.run(*edit, "--json").stdout) == DOCUMENT


def test_without_a_change_none_is_asked_for(running):
    ran = running.run("hooks", "edit", "h1")
    assert (ran.exit_code, running.asked) == (2, [])
    assert ran.stderr == "error: give the fields to change: see `callboard hooks edit --help`\n"


@pytest.mark.parametrize(
    ("command", "done", "request_of"),
    [
        ("enable", "enabled", lambda id: EditHook(id, {"enabled": True})),
        ("disable", "disabled", lambda id: EditHook(id, {"enabled": False})),
        ("pause", "paused", lambda id: EditHook(id, {"paused": True})),
        ("resume", "resumed", lambda id: EditHook(id, {"paused": False})),
        ("rm", "removed", RemoveHook),
        ("delete", "removed", RemoveHook),
    ],
)
def test_each_of_the_hooks_is_changed_once(running, command, done, request_of):
    saved = [HookSaved({"_id": id}) for id in ("h1", "h2")]
    running.answer(type(request_of("")), *saved)
    ran = running.run("hooks", command, "h1", "h2", "h1")
    assert (ran.exit_code, ran.stdout) == (0, f"{done} hook h1\n{done} hook h2\n")
    assert running.asked == [(LISTENER, request_of(id)) for id in ("h1", "h2")]


def test_a_refusal_leaves_the_other_hooks_to_be_changed(running):
    answers = (Refused("there is no hook h1"), HookSaved({"_id": "h2"}))
    running.answer(RemoveHook, *answers, *answers)
    ran = running.run("hooks", "rm", "h1", "h2")
    assert (ran.exit_code, ran.stdout) == (1, "removed hook h2\n")
    assert ran.stderr == "error: there is no hook h1\n"
    ran = running.run("hooks", "rm", "h1", "h2", "--json")
    assert (ran.exit_code, json.loads(ran.stdout)) == (
        1,
        {
            "hooks": [{"_id": "h2"}],
            "failed": [{"hook_id": "h1", "reason": "there is no hook h1"}],
        },
    )


def test_hooks_that_cannot_fire_are_listed(running):
    found = (HookProblem("a", "h1", "uri is missing"), HookProblem("b", "h2", "hook is missing"))
    running.answer(ListHookProblems, *[HookProblems(found, loading=True)] * 2)
    ran = running.run("hooks", "problems")
    assert (ran.exit_code, [" ".join(line.split()) for line in ran.stdout.splitlines()]) == (
        1,
        [
            "hook account problem",
            "h1 a uri is missing",
            "h2 b hook is missing",
            "hooks are still loading: there may be more problems",
        ],
    )
    ran = running.run("hooks", "problems", "--json")
    first = {"account_id": "a", "hook_id": "h1", "reason": "uri is missing"}
    assert (ran.exit_code, json.loads(ran.stdout)[0]) == (1, first)


def test_there_may_be_none_that_cannot_fire(running):
    running.answer(ListHookProblems, HookProblems((), loading=False))
    ran = running.run("hooks", "problems")
    said = "every stored hook that is enabled can fire\n"
    assert (ran.exit_code, ran.stdout) == (0, said)


# The list

LISTED = (
    DOCUMENT | {"name": URI, "http_verb": "post"},
    DOCUMENT | {"_id": "h2", "name": "Sales", "enabled": False, "pvt_disabled_message": "too many"},
    DOCUMENT | {"_id": "h3", "hook": "object", "group": "Sales", "paused": True},
)


@pytest.fixture
def listed(running):
    """listed(*options): ids of hooks that come on two pages, and what is said on the side."""

    def listed(*options):
        running.answer(ListHooks, HookList(LISTED[:2], True), HookList(LISTED[2:], False))
        ran = running.run("hooks", "list", "--json", *options)
        return [one["_id"] for one in json.loads(ran.stdout)], ran.stderr

    return listed


def test_hooks_are_a_table(running):
    running.answer(ListHooks, HookList(LISTED, False))
    ran = running.run("hooks", "list")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert [line.split() for line in ran.stdout.splitlines()] == [
        ["hook", "account", "event", "verb", "uri", "name", "enabled"],
        ["h1", "a", "all", "post", URI, "yes"],
        ["h2", "a", "all", URI, "Sales", "no:", "too", "many"],
        ["h3", "a", "object", URI, "yes,", "paused"],
    ]


def test_there_may_be_no_hooks(running):
    running.answer(ListHooks, HookList((), False))
    assert running.run("hooks", "list").stdout == "no hooks\n"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((), ["h1", "h2", "h3"]),
        (("--event", "object"), ["h3"]),
        (("--uri", "1.1/in"), ["h1", "h2", "h3"]),
        (("--uri", "other"), []),
        (("--name", "sALES"), ["h2", "h3"]),
        (("--name", "1.1.1.1"), ["h1"]),
        (("--state", "enabled"), ["h1", "h3"]),
        (("--state", "disabled"), ["h2"]),
        (("--state", "paused"), ["h3"]),
    ],
)
def test_some_of_them_can_be_listed(listed, running, options, ids):
    assert listed(*options) == (ids, "")
    pages = [ListHooks(None, 500), ListHooks(None, 500, ("a", "h2"))]
    assert running.asked == [(LISTENER, page) for page in pages]


def test_a_page_begins_after_the_last_hook_of_the_one_before(running):
    nobody_s = {"_id": "h4"}
    running.answer(ListHooks, HookList((*LISTED, nobody_s), True), HookList((), False))
    assert running.run("hooks", "list", "--name", "x", "--json").stdout == "[]\n"
    assert running.asked[1] == (LISTENER, ListHooks(None, 500, ("", "h4")))


def test_a_disabled_hook_need_not_have_a_reason(running):
    off = DOCUMENT | {"enabled": False}
    running.answer(ListHooks, HookList((off, off), False))
    *_others, row, last = running.run("hooks", "list", "--limit", "1", "--all").stdout.splitlines()
    assert row.split()[-1] == last.split()[-1] == "no"


def test_a_table_that_is_cut_says_how_to_go_on(running):
    running.answer(ListHooks, HookList(LISTED, False))
    ran = running.run("hooks", "list", "--limit", "1")
    said = "there are more: continue with --after a/h1, or give --all\n"
    assert (len(ran.stdout.splitlines()), ran.stderr) == (2, said)


def test_a_listing_goes_on_after_a_hook(running):
    running.answer(ListHooks, HookList(LISTED[2:], False))
    running.run("hooks", "list", "--account", "a", "--after", "a/h2")
    assert running.asked == [(LISTENER, ListHooks("a", 500, ("a", "h2")))]


@pytest.mark.parametrize("after", ["", "a", "a/", "/h"])
def test_what_names_no_hook_is_refused(running, after):
    ran = running.run("hooks", "list", "--after", after)
    said = f"error: --after {after!r}: write ACCOUNT/HOOK, as printed by a shortened listing\n"
    assert (ran.exit_code, ran.stderr) == (2, said)


def test_a_listing_that_is_cut_says_how_to_go_on(listed):
    more = "there are more: continue with --after a/h2, or give --all\n"
    assert listed("--limit", "2") == (["h1", "h2"], more)
    assert listed("--limit", "3") == (["h1", "h2", "h3"], "")
    assert listed("--limit", "2", "--all") == (["h1", "h2", "h3"], "")
