"""`callboard deliveries`, of a system that answers as the actors of redelivery and hooks do."""

import json

from attrs import asdict

from callboard import admin
from callboard.actors.messages import CancelDeliveries, HookSaved

FIRST = admin.WaitingDelivery(
    *("d1", "e1", "all", "a", "h1", "https://e.example/in", 1, 1_799_999_000.5, "status 503")
)
SECOND = admin.WaitingDelivery(
    *("d2", "e2", "object", "a", "h1", "https://e.example/in", 2, 1_799_999_062.0, "timeout")
)
PAGES = (
    admin.WaitingListed((FIRST,), count=2, more=("x",)),
    admin.WaitingListed((SECOND,), count=2),
)


def test_they_are_a_table_by_the_time_they_are_due(running):
    running.answer(admin.ListWaiting, *PAGES)
    ran = running.run("deliveries", "list", "--hook", "h1", "--account", "a" * 32)
    assert (ran.exit_code, [" ".join(line.split()) for line in ran.stdout.splitlines()]) == (
        0,
        [
            "webhook-id due event hook to tries reason",
            "d1 2027-01-15 07:43:20Z all h1 https://e.example/in 1 status 503",
            "d2 2027-01-15 07:44:22Z object h1 https://e.example/in 2 timeout",
        ],
    )
    asked = admin.ListWaiting("h1", "a" * 32, ref="0")
    others = admin.ListWaiting("h1", "a" * 32, after=("x",), ref="1")
    assert running.asked == [("redelivery", asked), ("redelivery", others)]


def test_programs_get_each_with_its_time(running):
    running.answer(admin.ListWaiting, *PAGES)
    shown = json.loads(running.run("deliveries", "list", "--json").stdout)
    dues = ("2027-01-15 07:43:20Z", "2027-01-15 07:44:22Z")
    deliveries = [
        asdict(one) | {"due": due} for one, due in zip((FIRST, SECOND), dues, strict=True)
    ]
    assert shown == {"count": 2, "deliveries": deliveries}


def test_there_may_be_none(running):
    running.answer(admin.ListWaiting, admin.WaitingListed(()))
    assert running.run("deliveries", "list").stdout == "no deliveries wait\n"


def test_a_listing_that_is_cut_says_how_many_wait(running):
    running.answer(admin.ListWaiting, PAGES[0])
    *table, last = running.run("deliveries", "list", "--limit", "1").stdout.splitlines()
    assert (len(table), last) == (2, "2 wait: raise --limit, or narrow it down")
    assert running.asked == [("redelivery", admin.ListWaiting(limit=1, ref="0"))]


def test_a_page_that_is_too_long_is_cut(running):
    running.answer(admin.ListWaiting, admin.WaitingListed((FIRST, SECOND), count=2))
    shown = json.loads(running.run("deliveries", "list", "--limit", "1", "--json").stdout)
    assert (shown["count"], len(shown["deliveries"])) == (2, 1)


def test_a_page_has_at_most_500(running):
    running.answer(admin.ListWaiting, admin.WaitingListed(()))
    running.run("deliveries", "list", "--limit", "501")
    assert running.asked[0][1].limit == 500


def test_those_of_a_hook_are_sent_now_page_by_page(running):
    pages = (
        admin.WaitingRetried(("d1", "d2"), more=("x",)),
        admin.WaitingRetried(("d3",), (("d4", "it was sent"),)),
    )
    running.answer(admin.RetryWaiting, *pages, *pages)
    ran = running.run("deliveries", "retry-now", "--hook", "h1")
    said = "sent 3 deliveries of hook h1\n  d4: it was sent\n"
    assert (ran.exit_code, ran.stdout) == (1, said)
    requests = [admin.RetryWaiting("h1", ref="0"), admin.RetryWaiting("h1", ("x",), ref="1")]
    assert running.asked == [("redelivery", request) for request in requests]
    ran = running.run("deliveries", "retry-now", "--hook", "h1", "--json")
    assert json.loads(ran.stdout) == {"sent": 3, "refused": {"d4": "it was sent"}}
    running.answer(admin.RetryWaiting, admin.WaitingRetried(()))
    ran = running.run("deliveries", "retry-now", "--hook", "h1")
    assert (ran.exit_code, ran.stdout) == (0, "sent 0 deliveries of hook h1\n")


def test_those_of_a_hook_are_cancelled(running):
    running.answer(CancelDeliveries, HookSaved({"_id": "h1"}))
    ran = running.run("deliveries", "cancel", "--hook", "h1")
    said = "cancelled the deliveries of hook h1 up to now\n"
    assert (ran.exit_code, ran.stdout) == (0, said)
    assert running.asked == [("hook_listener", CancelDeliveries("h1"))]
