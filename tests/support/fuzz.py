"""Input from outside: JSON of every kind, malformed bytes, and real messages with faults.

`CALLBOARD_TEST_FUZZ=20000 python -m pytest tests/fuzz` runs this many examples of each test,
instead of a few dozen.
"""

import gzip
import json
import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

ACCOUNT = "1b" * 16
EXAMPLES = int(os.environ.get("CALLBOARD_TEST_FUZZ", "30"))
TIMEOUT_S = 120 + EXAMPLES
"""The time limit of a test, by pytest-timeout: machines may be busy."""


def examples(factor=1.0):
    """How many examples a property test tries; `factor`: of what a fuzzing test tries."""
    return max(10, int(EXAMPLES * factor))


def fuzzed(factor=1.0, **options):
    """The settings of a fuzzing test; `factor`: for tests with slow examples."""
    return settings(
        max_examples=examples(factor),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **options,
    )


def fuzzed_as_it_runs(factor=1.0):
    """The same for a system that keeps running from one example to the next.

    Its examples cannot be repeated from the same state, so they are not shrunk.
    """
    return fuzzed(factor, phases=[Phase.generate], database=None, report_multiple_bugs=False)


texts = st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(
    (
        "",
        "true",
        "null",
        "1e999",
        "-0",
        "9" * 40,
        "\ud800",
        "a\r\nb: c",
        "\0",
        "{}",
        "all",
        "%",
        "..",
    )
)
numbers = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0, -1, 2**63, -(2**63) - 1, 10**400, -(10**400), 1e308, 5e-324, -0.0)),
)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def nested(depth):
    """Nested lists, as text: Python cannot serialise them."""
    return b"[" * depth + b"]" * depth


@st.composite
def changed(draw, sample, keys=()):
    """A real document with a few members replaced, added, or taken away."""
    document = dict(sample)
    names = sorted({*sample, *keys})
    for name in draw(st.lists(st.sampled_from(names) | texts, max_size=4)):
        if draw(st.booleans()):
            document[name] = draw(values)
        else:
            document.pop(name, None)
    for name, member in document.items():
        if isinstance(member, dict) and member and draw(st.integers(0, 3)) == 0:
            document[name] = draw(changed(member))
    return document


@st.composite
def bodies(draw, documents):
    """The body of a message and its content encoding: JSON, or malformed."""
    body = json.dumps(draw(documents)).encode()
    match draw(st.integers(0, 9)):
        case 0:
            cut = draw(st.integers(0, len(body)))
            body = body[:cut] + draw(st.binary(max_size=20)) + body[cut + 1 :]
        case 1:
            body = draw(st.binary())
        case 2:
            body = draw(
                st.sampled_from(
                    (
                        *(nested(200), nested(100_000), b"9" * 5000, b'{"a":' * 5000),
                        *(b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b'{"a":NaN}', b'{"a":1e999}', b""),
                    )
                )
            )
        case 3:
            packed = gzip.compress(body)
            return packed[: draw(st.integers(0, len(packed)))], "gzip"
        case 4:
            return gzip.compress(body), draw(st.sampled_from(("gzip", "GZIP", "deflate")))
    return body, None
