"""Server-sent events as the HTML standard has them (9.2)."""

from callboard.web.live.event_stream import EventStream, event


async def nothing():
    for frame in ():
        yield frame


def test_a_stream_is_kept_by_no_cache_and_no_proxy():
    headers = EventStream(nothing()).headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"


def test_an_event_is_two_lines_and_an_empty_one():
    assert event("tick", {"a": [1, "é\n"]}) == (b'event: tick\ndata: {"a":[1,"\\u00e9\\n"]}\n\n')
    assert event("x", 1 + 2j) == b'event: x\ndata: "(1+2j)"\n\n'
