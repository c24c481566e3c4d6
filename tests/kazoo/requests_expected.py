"""What a receiver is to get, byte for byte, but for the order of members, which is free."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@frozen(order=True)
class Expected:
    """A request. `content`: its body, or, for GET, its query string."""

    path: str
    method: str
    content_type: str | None
    hook_id: str
    account_id: str
    content: bytes


def json_bytes(payload: Mapping[str, Any]) -> bytes:
    """An expected JSON body: pretty-printed, members sorted."""
    return json.dumps(payload, indent=2, sort_keys=True, ensure_ascii=False).encode()


def form_bytes(text: str) -> bytes:
    """Pairs sorted by their keys; those of a list stay in its order."""
    return "&".join(sorted(text.split("&"), key=lambda pair: pair.partition("=")[0])).encode()


def query(text: str) -> str:
    """Form data in a URL: RFC 3986, 3.4, lets no bare brackets stand there."""
    return text.replace("[", "%5B").replace("]", "%5D")


def seen(request: Any) -> Expected:
    """A received request in the same form. Fails for what no request may have."""
    headers = request.headers
    assert re.fullmatch("[0-9a-f]{32}", headers["webhook-id"])
    content_type = headers.get("content-type")
    if request.method == "GET":
        assert request.body == b""
        content = form_bytes(request.query)
    else:
        assert request.query == ""
        content = request.body
        content = form_bytes(content.decode()) if content_type == FORM else _sorted_json(content)
    return Expected(
        request.path,
        request.method,
        content_type,
        headers["x-hook-id"],
        headers["x-account-id"],
        content,
    )


def _sorted_json(body: bytes) -> bytes:
    payload = json.loads(body, object_pairs_hook=_no_member_twice)
    assert body == json.dumps(payload, indent=2, ensure_ascii=False).encode()
    return json_bytes(payload)


def _no_member_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _value in pairs}) == len(pairs)
    return dict(pairs)


def differences(got: Iterable[Expected], wanted: Iterable[Expected]) -> list[str]:
    """Requests that did not come (-) and that should not have (+), those of a path together."""
    came, due = Counter(got), Counter(wanted)
    missing = [(request, "-") for request in (due - came).elements()]
    surplus = [(request, "+") for request in (came - due).elements()]
    return [f"{sign} {request}" for request, sign in sorted(missing + surplus)]
