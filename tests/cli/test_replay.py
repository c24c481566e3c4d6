"""What `callboard test-hook` prints of a request and its response."""

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
