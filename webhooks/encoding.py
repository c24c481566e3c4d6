"""Payloads as HTTP requests (kz_http_util:json_to_querystring, webhooks_util)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from attrs import frozen

from callboard.webhooks.hook import JSON, Hook

_UNESCAPED = "-~_."


@frozen
class HttpRequest:
    """A request as it goes on the wire; `body` is empty for get."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def form_encode(payload: Mapping[str, Any]) -> str:
    """Pairs in the object's order: nested objects as `a[b]=v`, lists as `a[]=v`.

    Empty objects, empty lists and nulls give nothing.
    """
    return "&".join(f"{key}={value}" for key, value in _object_pairs(payload, ""))


def json_encode(payload: Mapping[str, Any]) -> bytes:
    """JSON in UTF-8, indented as Kazoo's."""
    return json.dumps(payload, indent=2, ensure_ascii=False).encode(errors="replace")


def request_for(hook: Hook, payload: Mapping[str, Any]) -> HttpRequest:
    """The request that sends the payload to the hook's uri."""
    names = (("X-Hook-ID", hook.id), ("X-Account-ID", hook.account_id))
    if hook.verb == "get":
        return HttpRequest("GET", _with_query(hook.uri, form_encode(payload)), names, b"")
    if hook.format == JSON:
        body, content_type = json_encode(payload), "application/json"
    else:
        body, content_type = form_encode(payload).encode(), "application/x-www-form-urlencoded"
    headers = (("Content-Type", content_type), *names)
    return HttpRequest(hook.verb.upper(), hook.uri, headers, body)


def _with_query(uri: str, query: str) -> str:
    """The uri with the pairs added to its query; its fragment is never sent."""
    uri = uri.partition("#")[0]
    if not query:
        return uri
    joint = "?" if "?" not in uri else "" if uri.endswith(("?", "&")) else "&"
    return f"{uri}{joint}{query}"


def _object_pairs(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, member in value.items():
        escaped = _escape(str(key))
        yield from _pairs(member, f"{prefix}[{escaped}]" if prefix else escaped)


def _pairs(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        yield from _object_pairs(value, name)
    elif isinstance(value, list | tuple):
        for element in value:
            if isinstance(element, Mapping | list | tuple):
                # A list's own lists and objects go as their JSON text.
                text = json.dumps(element, separators=(",", ":"), ensure_ascii=False)
                yield f"{name}[]", _escape(text)
            else:
                yield from _pairs(element, f"{name}[]")
    else:
        yield name, _escape(_text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _escape(text: str) -> str:
    return quote(text, safe=_UNESCAPED, errors="replace").replace("%20", "+")
