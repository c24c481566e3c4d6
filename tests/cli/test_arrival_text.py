"""What is shown of an arrival, whatever is in it."""

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.adapters.receiver import ReceivedRequest
from callboard.adapters.receiver.arrivals import Attempt
from callboard.adapters.receiver.listener import Arrival
from callboard.cli.tryout.arrival_text import as_object, content, lines
from callboard.webhooks.deliveries.verifying import Verdict


def arrival(body=b"", **headers):
    request = ReceivedRequest("POST", "/a", "", headers, body, 1.5, 1)
    return Arrival(request, Attempt(None, 1, False, None), None, "200")


@pytest.mark.parametrize(
    ("body", "type", "shown"),
    [
        (b"", "", None),
        (b'{"a": [1]}', "application/json", {"a": [1]}),
        (b"a=1&b=%20&a=2", "application/x-www-form-urlencoded", {"a": "2", "b": " "}),
        (b"a=&b=1", "application/x-www-form-urlencoded", {"a": "", "b": "1"}),
        (b"a=1", "text/plain", "a=1"),
        (b"5", "application/json", 5),
        (b"null", "application/json", None),
        (b"NaN", "application/json", "NaN"),
        (b"\xff", "application/json", "\ufffd"),
    ],
)
def test_a_body_is_shown_as_what_it_is(body, type, shown):
    assert content(arrival(body, **{"content-type": type}).request) == shown


def test_the_object_for_programs_has_all_members():
    request = ReceivedRequest("POST", "/a", "x=1", {"Content-Type": "text/plain"}, b"hi", 1.5, 1)
    made = Arrival(request, Attempt("d", 2, True, 0.25), Verdict.WRONG, "503")
    assert as_object(made) == {
        "time": 1.5,
        "since_last_s": 0.25,
        "method": "POST",
        "path": "/a",
        "query": "x=1",
        "headers": {"Content-Type": "text/plain"},
        "body": "hi",
        "delivery": "d",
        "try": 2,
        "repeat": True,
        "signature": "wrong",
        "answer": "503",
    }


def test_json_is_shown_over_several_lines_in_its_own_characters():
    body = '{"a": ["\u00e9"]}'.encode()
    assert [line[4:] for line in lines(arrival(body))][1:] == [
        "{",
        '  "a": [',
        '    "\u00e9"',
        "  ]",
        "}",
    ]


SEEN = datetime(2026, 3, 1, 9, 8, 7, 654_321).timestamp()


@pytest.mark.parametrize(
    ("made", "query", "verdict", "answer", "shown"),
    [
        (
            *(Attempt("d", 1, False, None), "", None, "200"),
            "[bold]POST /a[/]  answered [green]200[/]",
        ),
        (
            *(Attempt("d", 2, False, 1.25), "x=1", Verdict.OK, "hang"),
            "+1.250 s  [bold]POST /a?x=1[/]  answered [red]hang[/]"
            "  [green]signature ok[/]  attempt 2",
        ),
        (
            *(Attempt("d", 3, True, 0.0), "", Verdict.WRONG, "503"),
            "+0.000 s  [bold]POST /a[/]  answered [red]503[/]"
            "  [bold red]signature wrong[/]  [yellow]repeat of a successful delivery[/]",
        ),
    ],
)
def test_the_headline_of_an_arrival(made, query, verdict, answer, shown):
    """Headers that every request has are left out."""
    headers = dict.fromkeys(("host", "content-length", "connection", "accept"), "x")
    headers |= {"accept-encoding": "x", "webhook-id": "d"}
    request = ReceivedRequest("POST", "/a", query, headers, b"1", SEEN, 1)
    assert list(lines(Arrival(request, made, verdict, answer))) == [
        f"09:08:07.654  {shown}",
        "  [dim]webhook-id:[/] d",
        "    1",
    ]


@pytest.mark.parametrize("depth", [1, 150, 200, 201, 250, 900, 940, 960, 980, 1000, 5000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_json_is_shown_too(depth, opening, closing):
    body = opening * depth + "1" + closing * depth
    seen = arrival(body.encode())
    shown = [line.strip() for line in lines(seen)][1:]
    assert "".join(shown).replace(" ", "").replace("\\", "") == body
    written = json.loads(json.dumps(as_object(seen)))["body"]
    assert (written == body) is (depth > 200)


def test_a_number_that_python_does_not_read_is_shown_as_text():
    body = b"[" + b"9" * 5000 + b"]"
    assert content(arrival(body).request) == body.decode()


@given(st.binary(), st.text())
def test_nothing_that_arrives_moves_the_cursor(body, header):
    seen = arrival(body, **{"x-header": header})
    assert all(line.isprintable() for line in lines(seen))
    assert json.loads(json.dumps(as_object(seen), allow_nan=False))["headers"]["x-header"] == header
