"""Runs Kazoo's recorded cases through Callboard, and compares the requests."""

import json
import tomllib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from callboard.adapters.store import views
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.events.event import PoisonEvent
from support.kazoo import Cluster

DATA = Path(__file__).parents[1] / "data" / "kazoo"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def cases() -> list[dict[str, Any]]:
    """All cases, in the order of the files."""
    lines = [
        line for file in sorted(DATA.glob("*.jsonl")) for line in file.read_text().splitlines()
    ]
    return [json.loads(line) for line in lines]


def deviations() -> list[dict[str, Any]]:
    """The kinds of intended differences, each with its reason, its row in docs/kazoo.md, its cases.

    `adds`: members that Callboard adds to the payload, without which the requests agree. Otherwise,
    Kazoo sends nothing (its handler crashes), or `differs` is true.
    """
    kinds: list[dict[str, Any]] = tomllib.loads((DATA / "deviations.toml").read_text())["kinds"]
    return kinds


class Answers:
    """A cluster with the documents of base.json, on which one case after the other is run."""

    def __init__(self, folder: Path) -> None:
        self._store = EmbeddedStore(folder / "store.sqlite3", views=views.ALL)
        for database, its_views in (
            ("webhooks", views.WEBHOOKS),
            ("accounts", views.ACCOUNTS),
            ("port_requests", views.PORT_REQUESTS),
        ):
            self._store.ensure_database(database)
            self._store.ensure_views(database, its_views)
        self._base = json.loads((DATA / "base.json").read_text())
        for database, document in _each(self._base):
            Cluster(self._store).put(database, document)

    def close(self) -> None:
        self._store.close()

    def requests(
        self, case: Mapping[str, Any], without: Collection[str] = ()
    ) -> list[tuple[Any, ...]]:
        """Callboard's requests, comparable with `expected`, without these members of payloads."""
        before = {(name, document["_id"]): document for name, document in _each(self._base)}
        changed = [*_each(case["docs"]), *(("webhooks", hook) for hook in case["hooks"])]
        try:
            for database, document in changed:
                self._put(database, document)
            fired = _fired(Cluster(self._store), case["events"])
            return sorted((_sent(delivery, without) for delivery in fired), key=repr)
        finally:
            for page in self._store.documents("webhooks", page_size=100):
                self._put("webhooks", {"_id": page["_id"], "_gone": True})
            for database, document in changed:
                gone = {"_id": document["_id"], "_gone": True}
                self._put(database, before.get((database, document["_id"]), gone))

    def _put(self, database: str, document: Mapping[str, Any]) -> None:
        if "_gone" not in document:
            Cluster(self._store).put(database, document)
        elif (found := self._store.get(database, document["_id"])) is not None:
            self._store.delete(database, document["_id"], found["_rev"])


def expected(case: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Kazoo's requests: hook, account, verb, URL, content type, content."""
    return sorted(map(_recorded, case["kazoo"]["requests"]), key=repr)


def _each(documents: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for database, some in documents.items():
        for document in some:
            yield database, document


def _fired(cluster: Cluster, bodies: list[Any]) -> Iterator[Delivery]:
    for body in bodies:
        with suppress(PoisonEvent):
            yield from cluster.fire(body)


def _sent(delivery: Delivery, without: Collection[str]) -> tuple[Any, ...]:
    form, content = delivery.content
    headers = dict(delivery.headers)
    url, type = delivery.url, headers.get("Content-Type")
    assert delivery.method != "GET" or type is None
    return (
        headers["X-Hook-ID"],
        headers["X-Account-ID"],
        delivery.method.lower(),
        url,
        type,
        _read(form, content.decode(), without),
    )


def _recorded(request: Mapping[str, Any]) -> tuple[Any, ...]:
    url, type, body = request["url"], request["content_type"], request["body"]
    if request["verb"] == "get":
        # Kazoo adds its question mark even if the URL has one.
        url, _mark, body = url.rpartition("?")
        type = None
    content = _read(type or FORM, body)
    return request["hook"], request["account"], request["verb"], url, type, content


def _read(type: str, content: str, without: Collection[str] = ()) -> str:
    """The content by value: a number is not a boolean, and 1.0 is 1."""
    if type != JSON:
        return repr(sorted(parse_qs(content, keep_blank_values=True).items()))
    payload = json.loads(content)
    return repr(_plain({key: payload[key] for key in payload if key not in without}))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((key, _plain(member)) for key, member in value.items())
    if isinstance(value, list):
        return tuple(map(_plain, value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
