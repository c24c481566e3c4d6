"""The W3C Trace Context of a message: what is valid is sent on, and nothing else."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from callboard.webhooks.events.trace_context import TraceContext, trace_context, with_context

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def parent(text):
    found = trace_context({"traceparent": text})
    return found and found.traceparent


def state(text):
    return trace_context({"traceparent": PARENT, "tracestate": text}).tracestate


@pytest.mark.parametrize(("more", "kept"), [(0, True), (1, False)])
def test_long_members_stay_in_a_state_of_512_characters(more, kept):
    """W3C Trace Context, 3.3.1.5: members of more than 128 characters are dropped first."""
    long, *short = (
        f"{key}={'x' * size}" for key, size in zip("abcd", (198, 125, 125, 53 + more), strict=True)
    )
    assert state(",".join((long, *short))) == ",".join((long, *short) if kept else short)


def test_its_parts_can_be_told_apart():
    context = trace_context({"traceparent": PARENT, "tracestate": "a=1"})
    assert (context.trace_id, context.parent_id, context.flags) == (TRACE, SPAN, 1)
    assert TraceContext(f"00-{TRACE}-{SPAN}-f3").flags == 0xF3
    assert context == pickle.loads(pickle.dumps(context)) == TraceContext(PARENT, "a=1")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (PARENT, PARENT),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-03", f"00-{TRACE}-{SPAN}-03"),
        # Flags nobody knows are set to zero (3.2.2.5.2).
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-03"),
        # A later version is read as far as it is known, and written as 00 (3.2.4).
        (f"cc-{TRACE}-{SPAN}-01", PARENT),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", PARENT),
    ],
)
def test_a_valid_parent_is_written_anew(written, read):
    assert parent(written) == read


@pytest.mark.parametrize(
    "written",
    [
        "",
        "ff" + PARENT[2:],
        "0" + PARENT,
        PARENT + "-more",
        PARENT + "\n",
        PARENT + ".",
        " " + PARENT,
        PARENT.upper(),
        PARENT.replace("-", "_"),
        f"cc-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01-\r\nx-injected: 1",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{'٤' * 32}-{SPAN}-01",
        PARENT.encode(),
        None,
        7,
        [PARENT],
    ],
)
def test_anything_else_is_no_context(written):
    assert trace_context({"traceparent": written, "tracestate": "a=1"}) is None


def test_without_headers_there_is_none():
    assert trace_context({}) is None
    assert trace_context({"tracestate": "a=1"}) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (" a=1 ,\tb=2\t,,", "a=1,b=2"),
        ("0tenant@vendor=x y", "0tenant@vendor=x y"),
        ("a=1,a=2", ""),  # each key once
        ("A=1", ""),
        ("1a=1", ""),
        ("a=b=c", ""),
        ("a=", ""),
        ("a", ""),
        ("a=é", ""),
        ("a=1\r\nx-injected: 1", ""),
        (f"{'k' * 257}=1", ""),
        (f"a={'v' * 257}", ""),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        (b"a=1", ""),
        (None, ""),
    ],
)
def test_a_state_is_sent_on_as_a_whole_or_not_at_all(written, read):
    assert state(written) == read


def test_of_a_long_state_the_long_members_go_first_and_then_the_last_ones():
    long = f"long={'v' * 200}"
    short = [f"k{n:02}={'v' * 26}" for n in range(20)]
    kept = state(",".join((long, *short)))
    assert kept == ",".join(short[:16])
    assert len(kept) <= 512
    assert state(f"{long},a=1") == f"{long},a=1"
    assert state(",".join(short[:17])) == ",".join(short[:16])  # No more than needed.


def test_a_long_member_has_more_than_128_characters():
    """W3C Trace Context, 3.3.1.5."""
    longer, longest, short = (
        f"a={'v' * 127}",
        f"b={'v' * 126}",
        [f"k{n:02}={'v' * 26}" for n in range(12)],
    )
    assert state(",".join((longer, longest, *short))) == ",".join((longest, *short))


def test_a_request_gets_the_context_unless_it_names_one():
    context = TraceContext(PARENT, "a=1")
    own = (("x-a", "1"),)
    assert with_context(own, None) is own
    assert with_context(own, context) == (*own, ("traceparent", PARENT), ("tracestate", "a=1"))
    assert with_context(own, TraceContext(PARENT)) == (*own, ("traceparent", PARENT))
    named = (("Traceparent", "of the hook"),)
    assert with_context(named, context) == named


hex_digits = st.text("0123456789abcdef", min_size=1, max_size=33)
near_misses = st.builds(
    "{}-{}-{}-{}{}".format,
    st.sampled_from(["00", "01", "cc", "ff"]),
    st.just(TRACE) | st.just("0" * 32) | hex_digits,
    st.just(SPAN) | st.just("0" * 16) | hex_digits,
    st.sampled_from(["00", "01", "0", "03", "G0"]),
    st.sampled_from(["", "-", "-x", "x"]),
)
members = st.builds("{}={}".format, st.text("ab1@_ ", max_size=3), st.text("xy=, é", max_size=3))


@given(near_misses, st.lists(members, max_size=4).map(",".join))
def test_opentelemetrys_own_reader_takes_what_is_sent_on(written, state):
    """What we let through means the same to the most used implementation."""
    ours = trace_context({"traceparent": written, "tracestate": state})
    if ours is None:
        return
    sent = dict(with_context((), ours))
    read = get_current_span(TraceContextTextMapPropagator().extract(sent)).get_span_context()
    assert read.is_valid
    assert f"{read.trace_id:032x}" == ours.trace_id
    assert f"{read.span_id:016x}" == ours.parent_id
    assert read.trace_flags == ours.flags
    assert read.trace_state.to_header() == ours.tracestate


@pytest.mark.parametrize(("count", "kept"), [(32, True), (33, False)])
def test_a_state_has_at_most_32_members(count, kept):
    """W3C Trace Context, 3.3.1.1."""
    written = ",".join(f"k{number}=v" for number in range(count))
    assert state(written) == (written if kept else "")
