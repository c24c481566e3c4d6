"""Two records of the same time, Kazoo's attempts and those of a dry run: where they differ."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl

from attrs import frozen

from callboard.webhooks.history.attempts import CUT_MARK

NEAR_S = 5
"""The most seconds between the two records of one request."""
TRIES_S = 60
"""Equal requests with a body and at most so many seconds between them are one delivery's."""
KAZOO, OURS, BOTH = "only Kazoo", "only Callboard", "differs"


@frozen
class Request:
    """What an attempt sent, comparable by value. `at`: Gregorian seconds.

    `event_id`: equal in all attempts of a delivery; Kazoo and Callboard have their own.
    """

    hook_id: str
    method: str
    uri: str
    body: str
    at: int
    event_id: str

    @property
    def sent(self) -> tuple[str, str, str, str]:
        """Equal for equal requests."""
        return self.hook_id, self.method, self.uri, self.body


@frozen
class Difference:
    """A request that only one of both has made, or both in different ways.

    `kind`: KAZOO, OURS or BOTH. `members`: of the body, or `method`, `uri` or `body`.
    """

    kind: str
    hook_id: str
    at: int
    uri: str
    members: tuple[str, ...] = ()


def request_of(attempt: Mapping[str, Any]) -> Request:
    """The request of a stored attempt. JSON compares by value, a form as its decoded pairs.

    Kazoo stores no query of a GET, so that of two only the count can differ.
    """
    headers = attempt.get("req_headers")
    type = str(headers.get("content-type", "")) if isinstance(headers, Mapping) else ""
    text = str(attempt.get("req_body") or "")
    return Request(
        str(attempt.get("hook_id")),
        str(attempt.get("method")).lower(),
        str(attempt.get("uri")),
        _canonical(type, text),
        int(attempt["pvt_created"]),
        str(attempt.get("event_id") or ""),
    )


def compared(
    kazoos: Iterable[Mapping[str, Any]], ours: Iterable[Mapping[str, Any]]
) -> tuple[int, list[Difference]]:
    """The number of equal requests, and the differences, by time.

    Several attempts of one delivery count once. Requests that one of both has made before or after
    the time of which both have some are left out: the other may not have run then.
    """
    theirs, mine = _by_request(kazoos), _by_request(ours)
    known = [
        [request.at for request in chain.from_iterable(side.values())] for side in (theirs, mine)
    ]
    if not all(known):
        begin, end = 0, float("inf")
    else:
        begin, end = max(map(min, known)) - NEAR_S, min(map(max, known)) + NEAR_S
    equal, left = 0, (list[Request](), list[Request]())
    for sent in theirs.keys() | mine.keys():
        one, other = theirs.get(sent, []), mine.get(sent, [])
        both = min(len(one), len(other))
        equal += both
        left[0].extend(one[both:])
        left[1].extend(other[both:])
    within = [[request for request in some if begin <= request.at <= end] for some in left]
    return equal, sorted(_differences(*within), key=lambda found: (found.at, found.hook_id))


def _by_request(attempts: Iterable[Mapping[str, Any]]) -> dict[tuple[str, ...], list[Request]]:
    """The deliveries by what they sent, each by its first attempt."""
    found: defaultdict[tuple[str, ...], list[Request]] = defaultdict(list)
    events: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for request in sorted(map(request_of, attempts), key=lambda request: request.at):
        same, ids = found[request.sent], events[request.sent]
        alike = bool(same and request.body) and request.at <= same[-1].at + TRIES_S
        if not alike and request.event_id not in ids:
            same.append(request)
        if request.event_id:
            ids.add(request.event_id)
    return found


def _differences(theirs: list[Request], mine: list[Request]) -> Iterator[Difference]:
    """Pair those of one hook that are near in time, the most alike first."""
    left = list(mine)
    for request in theirs:
        near = [
            other
            for other in left
            if other.hook_id == request.hook_id and abs(other.at - request.at) <= NEAR_S
        ]
        if not near:
            yield Difference(KAZOO, request.hook_id, request.at, request.uri)
            continue
        other = min(near, key=lambda other: len(_members(request, other)))
        left.remove(other)
        members = _members(request, other)
        yield Difference(BOTH, request.hook_id, request.at, request.uri, members)
    for request in left:
        yield Difference(OURS, request.hook_id, request.at, request.uri)


def _members(one: Request, other: Request) -> tuple[str, ...]:
    parts = [name for name in ("method", "uri") if getattr(one, name) != getattr(other, name)]
    if one.body != other.body:
        parts += _of_bodies(one.body, other.body)
    return tuple(parts)


def _of_bodies(one: str, other: str) -> list[str]:
    try:
        left, right = json.loads(one), json.loads(other)
    except (ValueError, RecursionError):
        return ["body"]
    if isinstance(left, list) and isinstance(right, list):  # A form.
        pairs = Counter(map(tuple, left)), Counter(map(tuple, right))
        return sorted({name for name, _value in (pairs[0] - pairs[1]) + (pairs[1] - pairs[0])})
    if not (isinstance(left, dict) and isinstance(right, dict)):
        return ["body"]
    written = [{name: json.dumps(body[name]) for name in body} for body in (left, right)]
    names = left.keys() | right.keys()
    return sorted(name for name in names if written[0].get(name) != written[1].get(name))


def _canonical(type: str, text: str) -> str:
    if text.endswith(CUT_MARK):
        return text
    if "json" in type:
        try:
            return json.dumps(_by_value(json.loads(text)), sort_keys=True)
        except (ValueError, RecursionError):
            return text
    if "form" in type:
        return json.dumps(sorted(parse_qsl(text, keep_blank_values=True)))
    return text


def _by_value(value: Any) -> Any:
    """1.0 is 1 (but true is not)."""
    if isinstance(value, dict):
        return {key: _by_value(member) for key, member in value.items()}
    if isinstance(value, list):
        return list(map(_by_value, value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
