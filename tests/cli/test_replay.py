"""What `callboard test-hook` prints of a request and its response."""

import json
import time

import pytest
from attrs import evolve

from callboard import admin
from callboard.cli.operations.replay import print_test

TESTED = admin.HookTested(
    "h",
    "POST",
    "https://a.example/[in]",
    (("X-Team", "[sales]"),),
    '{"a":\n1}',
    200,
    response_headers=(("server", "s"),),
    response_body="fine\nthanks",
    duration_s=0.0126,
    succeeded=True,
)
REQUEST = """\
POST https://a.example/[in]
  X-Team: [sales]

{"a":
1}

"""


@pytest.mark.parametrize(
    ("changes", "response"),
    [
        ({}, "200 after 13 ms\n  server: s\n\nfine\nthanks\n\n"),
        (
            {"response_cut": True},
            "200 after 13 ms\n  server: s\n\nfine\nthanks\n… and more\n\n",
        ),
        (
            {"status": 503, "succeeded": False, "response_headers": (), "response_body": ""},
            "503 after 13 ms\n\n",
        ),
        ({"error": "timeout"}, "no response: timeout after 13 ms\n"),
        (
            {"error": "timeout", "duration_s": 20.0},
            "no response: timeout after 20000 ms\n",
        ),
        (
            {"error": "failed_connect: nxdomain", "detail": "no [such] name"},
            "no response: failed_connect: nxdomain (no [such] name) after 13 ms\n",
        ),
    ],
)
def test_the_request_and_what_came_of_it_are_printed(capsys, changes, response):
    print_test(evolve(TESTED, **changes))
    assert capsys.readouterr().out == REQUEST + response


@pytest.mark.parametrize(("succeeded", "colour"), [(True, 32), (False, 31)])
def test_the_status_is_green_or_red(capsys, monkeypatch, succeeded, colour):
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_test(evolve(TESTED, succeeded=succeeded))
    assert f"\x1b[1;{colour}m200\x1b[0m" in capsys.readouterr().out


# The commands

NOW_S = 1_800_000_000.5
OLD = admin.StoredAttempt("202701-a", "e1", 1, True, "timeout")
NEW = admin.StoredAttempt("202701-b", "e1", 2, False, "200")
CUT = admin.StoredAttempt("202701-c", "e2", 3, True, "503", "the body was cut")
FAILED = admin.StoredAttempt("202701-d", "e3", 4, True, "503")
SINCE = ("--since", "2027-01-01")


@pytest.fixture
def replay(running, monkeypatch):
    """replay(*options): of these attempts, on two pages; all that are sent are accepted."""
    monkeypatch.setattr(time, "time", lambda: NOW_S)

    def replay(*options, answer=None):
        pages = admin.AttemptsListed((OLD, NEW, CUT), ("x",)), admin.AttemptsListed((FAILED,))
        running.answer(admin.ListAttempts, *pages)
        if answer is not None:
            running.answer(admin.ReplayAttempts, answer)
        return running.run("replay", "--hook", "h", *options)

    return replay


def test_one_attempt_of_each_delivery_is_sent_again(running, replay):
    sent = admin.AttemptsReplayed(("202701-b", "202701-d"))
    ran = replay(*SINCE, answer=sent)
    said = "2 on their way again, 1 skipped\n  202701-c: the body was cut\n"
    assert (ran.exit_code, ran.stdout) == (0, said)
    path, request = running.asked[-1]
    assert path == "redelivery"
    assert (request.hook_id, request.ids) == ("h", ("202701-b", "202701-d"))
    assert (request.ref, len(request.run)) == ("202701-b", 16)
    shown = json.loads(replay(*SINCE, "--json", answer=sent).stdout)
    assert shown.pop("run") == running.asked[-1][1].run != request.run
    skipped = {"202701-c": "the body was cut"}
    assert shown == {"replayed": ["202701-b", "202701-d"], "skipped": skipped}


def test_those_that_are_refused_fail_the_command(replay):
    answer = admin.AttemptsReplayed(("202701-b",), (("202701-d", "there is no hook h"),))
    ran = replay(*SINCE, answer=answer)
    assert (ran.exit_code, ran.stdout.splitlines()) == (
        1,
        [
            "1 on their way again, 2 skipped",
            "  202701-c: the body was cut",
            "  202701-d: there is no hook h",
        ],
    )


def test_a_dry_run_sends_nothing(running, replay):
    ran = replay(*SINCE, "--dry-run")
    said = "2 would be sent, 1 skipped\n  202701-c: the body was cut\n"
    assert (ran.exit_code, ran.stdout) == (0, said)
    shown = json.loads(replay(*SINCE, "--dry-run", "--json").stdout)
    assert list(shown) == ["would_replay", "skipped", "run"]
    assert shown["would_replay"] == ["202701-b", "202701-d"]
    assert {type(request) for _path, request in running.asked} == {admin.ListAttempts}


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((*SINCE, "--failed"), ["202701-d"]),
        (("--event-id", "e1"), ["202701-b"]),
        (("--attempt", "202701-a"), ["202701-b"]),
    ],
)
def test_some_of_them_can_be_chosen(replay, options, ids):
    shown = json.loads(replay(*options, "--dry-run", "--json").stdout)
    assert shown["would_replay"] == ids


@pytest.mark.parametrize(
    ("options", "period"),
    [
        (SINCE, (1_798_761_600.0, NOW_S)),
        (("--event-id", "e"), (1_797_321_600.5, NOW_S)),
        (("--attempt", "a", "--until", "1970-01-02"), (0.0, 86_400.0)),
    ],
)
def test_one_delivery_is_searched_for_in_31_days(running, replay, options, period):
    replay(*options, "--dry-run")
    assert running.asked[0] == ("redelivery", admin.ListAttempts("h", *period, ref="0"))


def test_there_may_be_nothing_to_send(replay):
    ran = replay("--event-id", "other")
    assert (ran.exit_code, ran.stdout) == (1, "there is no stored attempt to replay\n")


def test_a_period_or_a_delivery_has_to_be_given(running):
    ran = running.run("replay", "--hook", "h")
    said = "error: give --since, or one delivery by --event-id or --attempt\n"
    assert (ran.exit_code, ran.stderr, running.asked) == (2, said, [])


@pytest.mark.parametrize(("succeeded", "exit_code"), [(True, 0), (False, 1)])
def test_a_hook_is_tested(running, succeeded, exit_code):
    tested = evolve(TESTED, succeeded=succeeded)
    running.answer(admin.TestHook, tested, tested)
    ran = running.run("test-hook", "h")
    assert (ran.exit_code, ran.stdout) == (
        exit_code,
        REQUEST + "200 after 13 ms\n  server: s\n\nfine\nthanks\n\n",
    )
    ran = running.run("test-hook", "h", "--json")
    assert (ran.exit_code, json.loads(ran.stdout)["duration_s"]) == (exit_code, 0.0126)
    assert running.asked == [("redelivery", admin.TestHook("h"))] * 2
