"""`callboard dead-letters`, of a system that answers as the actor of redelivery does."""

import json

import pytest
from attrs import asdict

from callboard import admin

NEW = admin.DeadLetter(
    *("l2", "delivery", 1_799_999_062, "timeout", "https://e.example/in", "all", "a", "h1", 3)
)
OLD = admin.DeadLetter("l1", "event", 1_799_999_000, "no module", "shop order.7")
LISTED = (admin.DeadLettersListed((NEW,), more=("x",)), admin.DeadLettersListed((OLD,)))


def filters_of(running):
    return [request for _path, request in running.asked if type(request) is admin.ListDeadLetters]


def test_they_are_a_table_the_newest_first(running):
    running.answer(admin.ListDeadLetters, *LISTED)
    ran = running.run("dead-letters", "list")
    head, *rows = (line.rstrip() for line in ran.stdout.splitlines())
    assert ran.exit_code == 0
    assert (
        head
        == "id  when                  kind      what  hook  to, from              tries  reason"
    )
    assert rows == [
        "l2  2027-01-15 07:44:22Z  delivery  all   h1    https://e.example/in  3      timeout",
        "l1  2027-01-15 07:43:20Z  event                 shop order.7                 no module",
    ]
    request = admin.ListDeadLetters(ref="0")
    others = admin.ListDeadLetters(after=("x",), ref="1")
    assert running.asked == [("redelivery", request), ("redelivery", others)]


def test_programs_get_each_with_its_time(running):
    running.answer(admin.ListDeadLetters, *LISTED)
    first, second = json.loads(running.run("dead-letters", "list", "--json").stdout)
    assert first == asdict(NEW) | {"at": "2027-01-15 07:44:22Z"}
    assert second["id"] == "l1"


def test_there_may_be_none(running):
    running.answer(admin.ListDeadLetters, admin.DeadLettersListed(()))
    assert running.run("dead-letters", "list").stdout == "there are no dead letters\n"


def test_a_listing_that_is_cut_says_so(running):
    running.answer(admin.ListDeadLetters, *LISTED, *LISTED)
    *table, last = running.run("dead-letters", "list", "--limit", "1").stdout.splitlines()
    said = "there are more than 1: raise --limit, or narrow it down"
    assert (len(table), last) == (2, said)
    assert said[:9] not in running.run("dead-letters", "list", "--limit", "2").stdout


def test_no_page_is_read_beyond_the_limit(running):
    running.answer(admin.ListDeadLetters, admin.DeadLettersListed((NEW, OLD), more=("x",)))
    ran = running.run("dead-letters", "list", "--limit", "1")
    assert ran.stdout.endswith("there are more than 1: raise --limit, or narrow it down\n")


@pytest.mark.parametrize(
    "chosen", [(), ("l1", "--all"), ("l1", "--hook", "h"), ("--all", "--hook", "h")]
)
@pytest.mark.parametrize("command", ["retry", "purge"])
def test_they_are_selected_in_one_way(running, command, chosen):
    ran = running.run("dead-letters", command, *chosen)
    said = "error: give ids, selecting options, or --all\n"
    assert (ran.exit_code, ran.stderr, running.asked) == (2, said, [])


def test_the_options_select(running):
    running.answer(admin.ListDeadLetters, admin.DeadLettersListed(()))
    running.run(
        *("dead-letters", "list", "--account", "a" * 32, "--hook", "h", "--kind", "event"),
        *("--since", "2026-01-01", "--until", "2027-01-01"),
    )
    wanted = admin.ListDeadLetters(
        "a" * 32, "h", admin.EVENT, 1_767_225_600.0, 1_798_761_600.0, ref="0"
    )
    assert filters_of(running) == [wanted]


def test_one_is_printed_as_its_document(running):
    running.answer(admin.ShowDeadLetter, admin.DeadLetterShown({"id": "l1", "reason": "timeout"}))
    shown = running.run("dead-letters", "show", "l1").stdout
    assert json.loads(shown) == {"id": "l1", "reason": "timeout"}
    assert running.asked == [("redelivery", admin.ShowDeadLetter("l1"))]


def test_those_that_are_named_are_sent_once_each(running):
    running.answer(admin.RetryDeadLetters, admin.DeadLettersRetried(("l1", "l2"), ()))
    ran = running.run("dead-letters", "retry", "l1", "l2", "l1")
    assert (ran.exit_code, ran.stdout) == (0, "2 on their way again, 0 not\n")
    assert running.asked == [("redelivery", admin.RetryDeadLetters(("l1", "l2"), ref="l1"))]


def test_those_that_are_selected_are_sent_the_oldest_first(running):
    running.answer(admin.ListDeadLetters, *LISTED)
    running.answer(admin.RetryDeadLetters, admin.DeadLettersRetried(("l1", "l2"), ()))
    running.run("dead-letters", "retry", "--all")
    assert running.asked[-1][1] == admin.RetryDeadLetters(("l1", "l2"), ref="l1")
    assert running.asked[0][1] == admin.ListDeadLetters(ref="0")


def test_those_that_are_refused_are_named_with_the_reason(running):
    refused = admin.DeadLettersRetried(("l1",), (("l2", "there is no hook h1"),))
    running.answer(admin.RetryDeadLetters, refused, refused)
    ran = running.run("dead-letters", "retry", "l1", "l2")
    said = "1 on their way again, 1 not\n  l2: there is no hook h1\n"
    assert (ran.exit_code, ran.stdout) == (1, said)
    ran = running.run("dead-letters", "retry", "l1", "l2", "--json")
    shown = {"retried": ["l1"], "refused": {"l2": "there is no hook h1"}}
    assert (ran.exit_code, json.loads(ran.stdout)) == (1, shown)


@pytest.mark.parametrize(("rate", "sizes"), [("4", [2, 1]), ("1", [1, 1, 1]), ("10000", [3])])
def test_half_a_second_s_are_sent_at_once(running, monkeypatch, rate, sizes):
    """Pauses are as long as the rate demands."""
    pauses = []
    monkeypatch.setattr("callboard.cli.terminal.pacing.time.sleep", pauses.append)
    monkeypatch.setattr("callboard.cli.terminal.pacing.time.monotonic", lambda: 100.0)
    ids = ("l1", "l2", "l3")
    answers = [admin.DeadLettersRetried(ids[:size], ()) for size in sizes]
    running.answer(admin.RetryDeadLetters, *answers)
    ran = running.run("dead-letters", "retry", *ids, "--rate", rate)
    assert ran.stdout == "3 on their way again, 0 not\n"
    assert [len(request.ids) for _path, request in running.asked] == sizes
    done = [sum(sizes[:n]) for n in range(len(sizes))]
    assert pauses == [count / float(rate) for count in done]


def test_deleting_asks_first(running):
    running.answer(admin.PurgeDeadLetters, admin.DeadLettersPurged(("l1",), ()))
    ran = running.run("dead-letters", "purge", "l1", input="y\n")
    assert ran.exit_code == 0
    assert ran.stdout.startswith("Delete 1 dead letters for ever? [y/N]: ")
    assert ran.stdout.endswith("1 deleted\n")
    assert running.asked == [("redelivery", admin.PurgeDeadLetters(("l1",), ref="l1"))]
    ran = running.run("dead-letters", "purge", "l1", input="n\n")
    assert (ran.exit_code, len(running.asked)) == (1, 1)


def test_deleting_need_not_ask(running):
    running.answer(admin.ListDeadLetters, *LISTED)
    refused = admin.DeadLettersPurged(("l1",), (("l2", "it is being sent"),))
    running.answer(admin.PurgeDeadLetters, refused)
    ran = running.run("dead-letters", "purge", "--kind", "event", "--yes")
    assert (ran.exit_code, ran.stdout) == (1, "1 deleted\n  l2: it is being sent\n")
    assert filters_of(running)[0] == admin.ListDeadLetters(kind=admin.EVENT, ref="0")
    running.answer(admin.ListDeadLetters, admin.DeadLettersListed(()))
    ran = running.run("dead-letters", "purge", "--all")
    assert (ran.exit_code, ran.stdout) == (0, "0 deleted\n")
