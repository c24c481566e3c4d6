"""Replays, tests and secrets of a hook, and dead letters."""

import json
import re
import threading
import time
from base64 import urlsafe_b64encode

import pytest

from callboard import admin
from callboard.actors.messages import (
    AddSecret,
    CancelDeliveries,
    HookQueue,
    HookQueues,
    HookSecrets,
    ListHookQueues,
    NoAnswer,
    RefusedByActor,
)
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.views import ALL
from callboard.webhooks.deliveries.signing import parse_secret
from callboard.webhooks.values.kazoo_names import gregorian_s
from services.rabbitmq import wait_until
from support.api import CHILD, PARENT, Api, whole_system
from support.stores import Meddled

HOOKS = f"/v2/accounts/{PARENT}/webhooks"
LETTERS = f"{HOOKS}/dead_letters"


@pytest.fixture
def api(api):
    api.backend.answers |= whole_system()
    return api


@pytest.fixture
def hook(api):
    return f"{HOOKS}/{api.add_hook()['id']}"


def attempts(count, **more):
    return [
        admin.StoredAttempt(f"202611/{n}", f"e{n}", n, bool(n % 2), "500", **more)
        for n in range(count)
    ]


def ended(api, hook, data):
    begun = api.call("PUT", f"{hook}/replay", data)
    assert begun.status_code == 202, begun.text
    where = begun.headers["location"]
    wait_until(lambda: api.data("GET", where)["state"] != "running", "end of the replay", 30)
    return api.data("GET", where)


def test_a_replay_sends_what_is_listed_over_all_pages(api, hook):
    def listed(request):
        first = not request.after
        return admin.AttemptsListed(tuple(attempts(250)[:100] if first else attempts(250)[100:]),
                                    ("202611",) if first else None)  # fmt: skip

    api.backend.answers[admin.ListAttempts] = listed
    found = ended(api, hook, {"rate": 10_000, "failed": True})
    assert (found["state"], found["found"], found["replayed"]) == ("done", 125, 125)
    sent = [m for _p, m in api.backend.asked if isinstance(m, admin.ReplayAttempts)]
    assert [len(message.ids) for message in sent] == [100, 25]
    assert {message.run for message in sent} == {found["id"]}


def test_a_replay_may_be_of_one_event_or_one_attempt(api, hook):
    api.backend.answers[admin.ListAttempts] = admin.AttemptsListed(tuple(attempts(3)))
    for number, asked in enumerate(({"event_id": "e1"}, {"attempt_id": "202611/1"})):
        ended(api, hook, {"id": f"replay-{number}"} | asked)
        sent = [m for _p, m in api.backend.asked if isinstance(m, admin.ReplayAttempts)]
        assert sent[-1].ids == ("202611/1",)
    assert len(sent) == 2


def test_a_replay_without_a_rate_sends_twenty_a_second(api, hook):
    api.backend.answers[admin.ListAttempts] = admin.AttemptsListed(tuple(attempts(11)))
    found = ended(api, hook, {})
    assert re.fullmatch("[0-9a-f]{32}", found["id"])
    sent = [m for _p, m in api.backend.asked if isinstance(m, admin.ReplayAttempts)]
    assert [len(message.ids) for message in sent] == [10, 1]  # of half a second each


def test_what_is_skipped_is_told(api, hook):
    api.backend.answers[admin.ListAttempts] = admin.AttemptsListed(
        (*attempts(1, problem="its body was cut"), admin.StoredAttempt("m/9", "e9", 9, True, "500"))
    )
    api.backend.answers[admin.ReplayAttempts] = admin.AttemptsReplayed((), (("m/9", "gone"),))
    found = ended(api, hook, {})
    assert found["skipped"] == {"202611/0": "its body was cut", "m/9": "gone"}
    assert (found["found"], found["replayed"], found["skipped_count"]) == (2, 0, 2)


def test_a_dry_run_sends_nothing(api, hook):
    api.backend.answers[admin.ListAttempts] = admin.AttemptsListed(tuple(attempts(3)))
    assert ended(api, hook, {"dry_run": True})["found"] == 3
    assert not [m for _p, m in api.backend.asked if isinstance(m, admin.ReplayAttempts)]


def test_a_replay_that_failed_goes_on_under_its_id(api, hook):
    api.backend.answers[admin.ListAttempts] = RefusedByActor("the store is down")
    found = ended(api, hook, {"id": "replay-of-monday"})
    assert (found["state"], found["reason"]) == ("failed", "the store is down")
    api.backend.answers[admin.ListAttempts] = admin.AttemptsListed(tuple(attempts(2)))
    found = ended(api, hook, {"id": "replay-of-monday"})
    assert (found["id"], found["state"], found["replayed"]) == ("replay-of-monday", "done", 2)


@pytest.fixture
def held(api):
    """Replays do not get beyond listing until it is set."""
    go_on = threading.Event()

    def listed(_request):
        assert go_on.wait(30)
        return admin.AttemptsListed(tuple(attempts(5)))

    api.backend.answers[admin.ListAttempts] = listed
    yield go_on
    go_on.set()


def test_replays_are_stopped_and_bounded(api, held):
    accounts = [f"{number:032x}" for number in range(17)]
    for account in accounts:
        api.store.save("accounts", {"_id": account, "pvt_type": "account", "pvt_tree": []})
    *others, last = (
        f"/v2/accounts/{account}/webhooks/{api.add_hook(account)['id']}/replay"
        for account in accounts
    )
    runs = [f"{path}/{api.data('PUT', path, {})['id']}" for path in others]
    refused = api.call("PUT", last, {})
    assert (refused.status_code, refused.json()["message"]) == (503, "too_many_replays")
    assert refused.headers["retry-after"] == "10"
    for run in runs:
        api.data("DELETE", run)
    held.set()
    for run in runs:
        wait_until(lambda run=run: api.data("GET", run)["state"] != "running", "end", 30)
        assert api.data("GET", run)["state"] == "stopped"
    assert not [m for _p, m in api.backend.asked if isinstance(m, admin.ReplayAttempts)]
    assert api.call("PUT", last, {}).status_code == 202


def test_one_account_has_one_replay_at_a_time(api, held):
    first, second = (f"{HOOKS}/{api.add_hook()['id']}/replay" for _ in range(2))
    other = f"/v2/accounts/{CHILD}/webhooks/{api.add_hook(CHILD)['id']}/replay"
    began = api.data("PUT", first, {"id": "replay-1"})
    again = api.data("PUT", first, {"id": "replay-1", "rate": 5})
    assert again["state"] == began["state"] == "running"
    for path in (first, second):
        refused = api.call("PUT", path, {})
        assert (refused.status_code, "this account" in refused.text) == (503, True)
    assert api.call("PUT", other, {}).status_code == 202


def test_no_other_account_stops_a_replay(api, held, hook):
    run = f"{hook}/replay/{api.data('PUT', f'{hook}/replay', {'rate': 10_000})['id']}"
    theirs = run.replace(PARENT, CHILD)
    assert api.call("DELETE", theirs).status_code == 404
    assert api.call("PUT", f"{hook}x/replay", {}).status_code == 404
    held.set()
    wait_until(lambda: api.data("GET", run)["state"] != "running", "end", 30)
    assert api.data("GET", run)["state"] == "done"


def test_hooks_have_replays_of_the_same_name(api):
    api.backend.answers[admin.ListAttempts] = admin.AttemptsListed(tuple(attempts(2)))
    hooks = [f"{HOOKS}/{api.add_hook()['id']}" for _ in range(2)]
    dry = [ended(api, hook, {"id": "replay-1", "dry_run": hook == hooks[0]}) for hook in hooks]
    assert [found["replayed"] for found in dry] == [0, 2]


@pytest.mark.parametrize(
    "other",
    [
        {"dry_run": True},
        {"failed": True},
        {"event_id": "e1"},
        {"attempt_id": "202611/1"},
        {"since": gregorian_s(time.time()) - 60},
    ],
)
def test_an_id_stays_with_what_it_was_asked_for(api, hook, other):
    api.backend.answers[admin.ListAttempts] = admin.AttemptsListed(tuple(attempts(2)))
    ended(api, hook, {"id": "replay-1"})
    refused = api.call("PUT", f"{hook}/replay", {"id": "replay-1", **other})
    assert (refused.status_code, refused.json()["message"]) == (422, "replay_id_reused")
    assert ended(api, hook, {"id": "replay-1", "failed": False})["replayed"] == 2


def test_deliveries_that_have_not_ended_are_cancelled_by_the_listener(api, hook):
    answer = api.call("DELETE", f"{hook}/deliveries")
    assert (answer.status_code, answer.json()["data"]) == (200, {"id": hook.rpartition("/")[2]})
    (asked,) = [(p, m) for p, m in api.backend.asked if isinstance(m, CancelDeliveries)]
    assert asked == ("hook_listener", CancelDeliveries(hook.rpartition("/")[2]))
    assert api.call("DELETE", f"{hook}x/deliveries").status_code == 404


def one_that_waits(number):
    return admin.WaitingDelivery(
        f"d{number}", "e", "object", PARENT, "h", "http://a.example/", 2, 1000.9 + number,
        "timeout", 8, "no 7",
    )  # fmt: skip


def test_deliveries_that_wait_are_listed_page_by_page(api, hook):
    def listed(request):
        first = int(request.after[1][1:]) + 1 if request.after else 0
        end = min(first + min(request.limit, 3), 8)
        more = (str(end), f"d{end - 1}") if end < 8 else None
        return admin.WaitingListed(tuple(map(one_that_waits, range(first, end))), 8, more)

    api.backend.answers[admin.ListWaiting] = listed
    seen, query = [], "?page_size=5"
    for size in (5, 3):
        page = api.call("GET", f"{hook}/deliveries{query}").json()
        assert (page["data"]["count"], page["page_size"]) == (8, size)
        seen += page["data"]["deliveries"]
        query = f"?page_size=5&start_key={page.get('next_start_key')}"
    assert "next_start_key" not in page
    assert [one["id"] for one in seen] == [f"d{number}" for number in range(8)]
    assert seen[0] == {
        "id": "d0",
        "event_id": "e",
        "reference": "no 7",
        "hook_id": "h",
        "hook_event": "object",
        "uri": "http://a.example/",
        "tries": 2,
        "most_tries": 8,
        "due": gregorian_s(1000),
        "reason": "timeout",
    }
    assert len(api.data("GET", f"{hook}/deliveries?paginate=false")["deliveries"]) == 8
    assert api.call("GET", f"{hook}x/deliveries").status_code == 404
    for key in ("x", "WyJ4IiwiYSJd", "WzEsImEiXQ"):
        assert api.call("GET", f"{hook}/deliveries?start_key={key}").status_code == 400


def test_what_waits_of_a_hook_is_asked_for_by_the_hook(api, hook):
    id = hook.rpartition("/")[2]
    api.data("GET", f"{hook}/deliveries?text=no%207")
    asked = [message for _path, message in api.backend.asked]
    assert asked == [
        admin.ListWaiting(id, None, (), 50, "no 7"),
        ListHookQueues(id, PARENT, "no 7"),
    ]
    waiting = tuple(map(one_that_waits, range(3)))
    api.backend.answers[admin.ListWaiting] = admin.WaitingListed(waiting, 8, ("3", "d2"))
    assert len(api.data("GET", f"{hook}/deliveries?page_size=3")["deliveries"]) == 3
    asked = [message for _path, message in api.backend.asked[2:]]
    assert asked == [admin.ListWaiting(id, None, (), 3, ""), ListHookQueues(id, PARENT, "")]


@pytest.mark.parametrize(("digits", "status"), [(1, 200), (16, 200), (17, 400)])
def test_a_listing_starts_at_a_time_in_milliseconds(api, hook, digits, status):
    api.backend.answers[admin.ListWaiting] = admin.WaitingListed((), 0)
    key = urlsafe_b64encode(json.dumps(["9" * digits, "d"]).encode()).decode().rstrip("=")
    assert api.call("GET", f"{hook}/deliveries?start_key={key}").status_code == status


def test_what_waits_of_an_account_is_found_by_text(api, hook):
    """Those in the queues of ordered and paused hooks come with the first page."""
    of_h = HookQueue(PARENT, "h", True, 12, (one_that_waits(1),))
    api.backend.answers[ListHookQueues] = HookQueues((of_h,))
    api.backend.answers[admin.ListWaiting] = admin.WaitingListed((), 5000, ("9", "d"))
    account = hook.rpartition("/")[0]
    page = api.call("GET", f"{account}/deliveries?text=no%207").json()
    asked = [message for _path, message in api.backend.asked]
    assert ListHookQueues(None, PARENT, "no 7") in asked
    searched = [message for message in asked if isinstance(message, admin.ListWaiting)]
    assert {(m.hook_id, m.account, m.text) for m in searched} == {(None, PARENT, "no 7")}
    assert len(searched) == 20  # Then the client asks again.
    assert (page["data"]["count"], page["data"]["deliveries"]) == (5000, [])
    (queue,) = page["data"]["queues"]
    assert (queue["hook_id"], queue["paused"], queue["count"]) == ("h", True, 12)
    assert [one["id"] for one in queue["deliveries"]] == ["d1"]
    api.backend.answers[admin.ListWaiting] = admin.WaitingListed((one_that_waits(3),), 5000)
    page = api.call("GET", f"{account}/deliveries?start_key={page['next_start_key']}").json()
    assert [one["id"] for one in page["data"]["deliveries"]] == ["d3"]
    assert (page["data"]["queues"], "next_start_key" in page) == ([], False)


def test_deliveries_that_wait_are_sent_now(api, hook):
    def sent(request):
        more = None if request.after else ("1", "2", "b")
        return admin.WaitingRetried(("c",) if request.after else ("a", "b"), (("x", "odd"),), more)

    api.backend.answers[admin.RetryWaiting] = sent
    id = hook.rpartition("/")[2]
    done = api.data("POST", f"{hook}/deliveries/retry")
    assert done == {"id": id, "sent": 3, "skipped": {"x": "odd"}, "done": True}
    assert api.call("POST", f"{hook}x/deliveries/retry").status_code == 404
    api.data("PATCH", hook, {"enabled": False})
    refused = api.call("POST", f"{hook}/deliveries/retry")
    assert (refused.status_code, refused.json()["message"]) == (409, "hook_disabled")


def test_what_is_not_sent_within_twenty_seconds_is_not_done(api, hook, monkeypatch):
    clock = [1000.0]

    def sent(_request):
        clock[0] += 10.0
        return admin.WaitingRetried(("a",), (), ("1", "2", "b"))

    api.backend.answers[admin.RetryWaiting] = sent
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    done = api.data("POST", f"{hook}/deliveries/retry")
    assert (done["sent"], done["done"]) == (2, False)


@pytest.mark.parametrize(
    ("data", "member"),
    [
        ({"since": "x"}, "since"),
        ({"since": 63_900_000_000, "until": 63_800_000_000}, "created_from"),
        ({"rate": 0.9}, "rate"),
        ({"rate": 10_000.1}, "rate"),
        ({"rate": True}, "rate"),
        ({"rate": "9"}, "rate"),
        ({"id": "a" * 65}, "id"),
        ({"id": "Replay-1"}, "id"),
        ({"id": "short"}, "id"),
        ({"failed": "yes"}, "failed"),
        ({"event_id": "a", "attempt_id": "b"}, "attempt_id"),
        ({"hook": "h"}, "hook"),
    ],
)
def test_what_a_replay_cannot_be_asked_is_refused(api, hook, data, member):
    answer = api.call("PUT", f"{hook}/replay", data)
    assert (answer.status_code, list(answer.json()["data"])) == (400, [member])


@pytest.mark.parametrize("data", [{"rate": 1}, {"rate": 10_000}, {"id": "a" * 64}])
def test_the_ends_of_what_it_can_be_asked(api, hook, data):
    assert ended(api, hook, data)["state"] == "done"


def test_the_progress_is_shown_with_what_was_asked(api, hook):
    api.backend.answers[admin.ListAttempts] = admin.AttemptsListed(tuple(attempts(2)))
    found = ended(api, hook, {"id": "replay-1", "dry_run": True, "since": 63_900_000_000,
                              "until": 63_900_000_100, "failed": True})  # fmt: skip
    assert found == {
        "id": "replay-1",
        "hook_id": hook.rpartition("/")[2],
        "state": "done",
        "found": 1,
        "replayed": 0,
        "skipped": {},
        "skipped_count": 0,
        "dry_run": True,
    }
    (listed,) = [m for _p, m in api.backend.asked if isinstance(m, admin.ListAttempts)]
    assert (listed.since_s, listed.until_s) == (1_732_780_800.0, 1_732_780_900.0)
    assert api.call("GET", f"{hook}/replay/replay-2").status_code == 404
    assert api.call("DELETE", f"{hook}/replay/replay-2").status_code == 404


def test_a_test_tells_what_came_of_it(api, hook):
    tested = api.data("PUT", f"{hook}/test")
    assert (tested["status"], tested["succeeded"], tested["method"]) == (200, True, "POST")
    api.backend.answers[admin.TestHook] = NoAnswer("redelivery is being restarted")
    assert api.call("PUT", f"{hook}/test").status_code == 503


@pytest.mark.parametrize(("end", "status"), [(1, 201), (31_622_400, 201), (31_622_401, 400)])
def test_other_secrets_end_within_a_leap_year(api, hook, end, status):
    assert api.call("PUT", f"{hook}/secrets", {"expires_in": end}).status_code == status


def test_a_new_secret_is_shown_once_and_is_the_one_that_signs(api, hook):
    made = api.data("PUT", f"{hook}/secrets", {})
    (added,) = [m for _p, m in api.backend.asked if isinstance(m, AddSecret)]
    assert added.secret == made["secret"]
    assert parse_secret(made["secret"]).fingerprint == made["fingerprint"]
    pair = api.data("PUT", f"{hook}/secrets", {"kind": "ed25519"})
    assert pair.keys() == {"fingerprint", "kind", "public_key"}
    given = api.data("PUT", f"{hook}/secrets", {"secret": made["secret"]})
    assert given == {"fingerprint": made["fingerprint"], "kind": "hmac-sha256"}
    (listed,) = api.data("GET", f"{hook}/secrets")
    assert listed.keys() == {"fingerprint", "kind", "since", "public_key", "until"}
    api.data("PUT", f"{hook}/secrets", {"expires_in": 3600})
    added = [message for _path, message in api.backend.asked if isinstance(message, AddSecret)]
    assert added[-1].others_end_in_s == 3600
    for wrong in ({"expires_in": end} for end in (0, -1, "1h", 1.5, 10**9)):
        assert api.call("PUT", f"{hook}/secrets", wrong).status_code == 400
    for wrong, member, rule in (
        ({"kind": "rot13"}, "kind", "enum"),
        ({"secret": "sesame"}, "secret", "error"),
        ({"secrets": ""}, "secrets", "additionalProperties"),
    ):
        answer = api.call("PUT", f"{hook}/secrets", wrong)
        assert (answer.status_code, list(answer.json()["data"])) == (400, [member])
        assert list(answer.json()["data"][member]) == [rule]
    assert api.call("DELETE", f"{hook}/secrets/ffffffffffff").status_code == 404
    api.backend.answers[AddSecret] = RefusedByActor("the hook has 5 secrets already")
    refused = api.call("PUT", f"{hook}/secrets", {})
    assert refused.status_code == 500
    assert refused.json()["data"]["cause"] == "the hook has 5 secrets already"
    assert isinstance(whole_system()[AddSecret], HookSecrets)


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_dead_letters_are_listed_newest_first_page_by_page(api, size):
    for number in range(5):
        api.add_letter(f"l{number}", created=100 + number // 2, hook_id=f"h{number % 2}")
    api.add_letter("child", CHILD, created=200)
    api.add_letter("poison", None, created=300, kind="event", exchange="e", routing_key="k")

    def ids(path, query=""):
        found, key = [], ""
        while key is not None:
            body = api.call("GET", f"{path}?page_size={size}{query}{key}").json()
            assert len(body["data"]) <= size
            found += [letter["id"] for letter in body["data"]]
            more = body.get("next_start_key")
            key = None if more is None else f"&start_key={more}"
        return found

    every = "/v2/callboard/dead_letters"
    assert ids(LETTERS) == ["l4", "l3", "l2", "l1", "l0"]
    assert ids(LETTERS, "&hook_id=h1") == ["l3", "l1"]
    assert ids(LETTERS, "&created_from=101&created_to=101") == ["l3", "l2"]
    assert ids(every) == ["poison", "child", "l4", "l3", "l2", "l1", "l0"]
    assert ids(every, "&kind=event") == ["poison"]
    assert ids(every, f"&account_id={CHILD}") == ["child"]


@pytest.mark.parametrize("name", ["created_from", "created_to"])
@pytest.mark.parametrize(
    "written", ["yesterday", "", "-1", "1_000", "true", "315569520000", "9" * 5000, "[1]"]
)
def test_a_time_that_is_none_is_refused(api, name, written):
    for path in (f"/v2/accounts/{PARENT}/webhooks/dead_letters", "/v2/callboard/dead_letters"):
        answer = api.call("GET", path, params={name: written})
        assert answer.status_code == 400, answer.text
        assert answer.json()["data"][name]["date_range"]["cause"] == written


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"created_from": "101"}, ["l3", "l2"]),
        ({"created_to": "101"}, ["l2", "l1"]),
        ({"created_from": "101", "created_to": "101"}, ["l2"]),
        ({"created_from": "103"}, []),
        ({"created_from": "0"}, ["l3", "l2", "l1"]),
        ({"created_to": "0"}, []),
    ],
)
def test_dead_letters_of_a_time_are_found(api, query, ids):
    for number in (1, 2, 3):
        api.add_letter(f"l{number}", created=99 + number)
    found = api.data("GET", f"/v2/accounts/{PARENT}/webhooks/dead_letters", params=query)
    assert [letter["id"] for letter in found] == ids


def test_dead_letters_are_searched_and_counted(api):
    api.add_letter("one", reason="status 503", uri="https://A.example/", created=300)
    api.add_letter("two", reason="timeout", uri="https://b.example/", created=200)
    api.add_letter("theirs", account="3" * 32, reason="timeout", created=100)
    every, own = "/v2/callboard/dead_letters", f"/v2/accounts/{PARENT}/webhooks/dead_letters"

    def found(path, query):
        listed = [one["id"] for one in api.data("GET", f"{path}?{query}")]
        count = api.data("GET", f"{path}/count?{query}")
        assert count == {"count": len(listed), "more": False}
        return listed

    assert found(every, "") == ["one", "two", "theirs"]
    assert found(own, "") == ["one", "two"]
    assert found(every, "text=TIMEOUT") == ["two", "theirs"]
    assert found(own, "text=a.example") == ["one"]
    assert found(every, "text=333333") == ["theirs"]
    assert found(every, "created_from=150&created_to=250") == ["two"]
    assert found(every, "kind=event") == []
    assert found(every, f"account_id={PARENT}&text=timeout") == ["two"]
    assert api.call("GET", f"{own}/count?kind=x").status_code == 400


def test_only_dead_letters_of_the_time_are_read(tmp_path):
    """There may be millions, and the store has an index by time."""

    class Reading(Meddled):
        def view(self, *arguments, **options):
            if arguments[1] == "dead_letters/by_time":
                read.append((options["start"][0], options["end"]))
            return self._store.view(*arguments, **options)

    read, store = [], EmbeddedStore(tmp_path / "store.sqlite3", views=ALL)
    api = Api(Reading(store))
    api.add_letter("l")
    api.data("GET", "/v2/callboard/dead_letters?created_from=101&created_to=103")
    assert read == [(103, [101])]
    store.close()


@pytest.mark.parametrize("path", [LETTERS, "/v2/callboard/dead_letters"])
def test_a_purged_dead_letter_is_returned_as_deleted(api, path):
    api.add_letter("l1", reason="bad response code")
    deleted = api.data("DELETE", f"{path}/l1")
    assert (deleted["id"], deleted["reason"]) == ("l1", "bad response code")
    assert deleted["_read_only"] == {"deleted": True}
    assert api.backend.asked[-1][1] == admin.PurgeDeadLetters(("l1",))


def test_a_dead_letter_that_is_not_purged_is_answered_with_the_reason(api):
    api.add_letter("l1")
    api.backend.answers[admin.PurgeDeadLetters] = admin.DeadLettersPurged((), (("l1", "why"),))
    answer = api.call("DELETE", f"{LETTERS}/l1")
    assert (answer.status_code, answer.json()["data"]["cause"]) == (500, "why")
    acted = api.data("PATCH", LETTERS, {"action": "purge", "ids": ["l1", "l2"]})
    refused = {"l1": "why", "l2": "there is no such dead letter"}
    assert acted == {"done": [], "refused": refused}


def test_dead_letters_are_shown_retried_and_purged(api):
    api.add_letter("l1", uri="https://a.example/", history=[{"at_ms": 1, "outcome": "500"}])
    shown = api.data("GET", f"{LETTERS}/l1")
    assert shown["history"] == [{"at_ms": 1, "outcome": "500"}]
    assert (shown["account_id"], shown["id"], shown["created"]) == (PARENT, "l1", 100)
    api.backend.answers[admin.RetryDeadLetters] = lambda request: admin.DeadLettersRetried(
        (), tuple((id, "its hook is gone") for id in request.ids)
    )
    acted = api.data("PATCH", LETTERS, {"action": "retry", "ids": ["l1", "l2", "l1"]})
    assert acted["done"] == []
    assert acted["refused"] == {"l1": "its hook is gone", "l2": "there is no such dead letter"}
    acted = api.data("PATCH", LETTERS, {"action": "purge", "ids": ["l1"]})
    assert acted == {"done": ["l1"], "refused": {}}
    for wrong in ({"action": "eat", "ids": ["l1"]}, {"action": "retry"},
                  {"action": "retry", "ids": []}, {"action": "retry", "ids": ["x"] * 101},
                  {"action": "retry", "ids": [1]}):  # fmt: skip
        assert api.call("PATCH", LETTERS, wrong).status_code == 400
    assert api.call("GET", f"{LETTERS}/nothing").status_code == 404
