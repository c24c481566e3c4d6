"""`callboard attempts`, of a system that answers as the actor of redelivery does."""

import json
import time

import pytest

from callboard import admin

NOW_S = 1_800_000_000.5
FIRST = admin.StoredAttempt("202701-a", "e1", 1_799_999_000, True, "timeout")
SECOND = admin.StoredAttempt("202701-b", "e2", 1_799_999_001, False, "200")
THIRD = admin.StoredAttempt("202701-c", "e1", 1_799_999_062, True, "503", "the body was cut")


@pytest.fixture
def attempts(running, monkeypatch):
    """attempts(*options): of these three attempts, on two pages."""
    monkeypatch.setattr(time, "time", lambda: NOW_S)

    def attempts(*options, pages=((FIRST, SECOND), (THIRD,))):
        more = [(str(n),) for n in range(1, len(pages))] + [None]
        answers = map(admin.AttemptsListed, pages, more)
        running.answer(admin.ListAttempts, *answers)
        return running.run("attempts", "list", "--hook", "h", *options)

    return attempts


def test_they_are_a_table(attempts):
    ran = attempts()
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert [line.rstrip() for line in ran.stdout.splitlines()] == [
        "id        when                  event-id  result  outcome",
        "202701-a  2027-01-15 07:43:20Z  e1        failed  timeout",
        "202701-b  2027-01-15 07:43:21Z  e2        done    200",
        "202701-c  2027-01-15 07:44:22Z  e1        failed  503",
    ]


def test_programs_get_each_with_its_time(attempts):
    first, *others = json.loads(attempts("--json").stdout)
    assert first == {
        "id": "202701-a",
        "event_id": "e1",
        "at_s": 1_799_999_000,
        "failed": True,
        "outcome": "timeout",
        "problem": "",
        "at": "2027-01-15 07:43:20Z",
    }
    assert [one["problem"] for one in others] == ["", "the body was cut"]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--failed",), ["202701-a", "202701-c"]),
        (("--event-id", "e2"), ["202701-b"]),
        (("--failed", "--event-id", "e2"), []),
        (("--limit", "3"), ["202701-a", "202701-b", "202701-c"]),
    ],
)
def test_some_of_them_can_be_chosen(attempts, options, ids):
    assert [one["id"] for one in json.loads(attempts(*options, "--json").stdout)] == ids


def test_a_listing_that_is_cut_says_so(attempts):
    said = "there are more than 2: raise --limit, or narrow it down"
    *table, last = attempts("--limit", "2").stdout.splitlines()
    assert (len(table), last) == (3, said)
    assert "there are more" not in attempts("--limit", "3").stdout


def test_no_page_is_read_beyond_the_limit(running):
    running.answer(admin.ListAttempts, admin.AttemptsListed((FIRST, SECOND), ("1",)))
    ran = running.run("attempts", "list", "--hook", "h", "--limit", "1")
    assert ran.stdout.endswith("there are more than 1: raise --limit, or narrow it down\n")


def test_there_may_be_none(attempts):
    said = "there are no stored attempts of this hook in the period\n"
    assert attempts(pages=((),)).stdout == said
    assert json.loads(attempts("--json", pages=((),)).stdout) == []


@pytest.mark.parametrize(
    ("options", "period"),
    [
        ((), (1_799_913_600.5, NOW_S)),
        (("--until", "2027-01-01"), (1_798_675_200.0, 1_798_761_600.0)),
        (("--since", "2h"), (1_799_992_800.5, NOW_S)),
        (("--since", "2026-01-01", "--until", "2027-01-01"), (1_767_225_600.0, 1_798_761_600.0)),
        (("--until", "1970-01-01T00:00:05"), (0.0, 5.0)),
    ],
)
def test_the_period_is_the_last_day_if_none_is_given(attempts, running, options, period):
    attempts(*options)
    (first, second) = running.asked
    assert first == ("redelivery", admin.ListAttempts("h", *period, ref="0"))
    assert second == ("redelivery", admin.ListAttempts("h", *period, after=("1",), ref="1"))


def test_one_is_printed_as_its_document(running):
    document = {"id": "202701-a", "result": "failure", "resp_status_code": 503}
    running.answer(admin.ShowAttempt, admin.AttemptShown(document))
    ran = running.run("attempts", "show", "202701-a", "--hook", "h")
    assert (ran.exit_code, json.loads(ran.stdout)) == (0, document)
    assert running.asked == [("redelivery", admin.ShowAttempt("h", "202701-a"))]


def test_a_refusal_ends_the_command_with_its_reason(running):
    running.answer(admin.ShowAttempt, admin.Refused("there is no attempt x"))
    ran = running.run("attempts", "show", "x", "--hook", "h")
    assert (ran.exit_code, ran.stdout, ran.stderr) == (1, "", "error: there is no attempt x\n")
