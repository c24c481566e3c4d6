"""Posted events by their keys, kept for a day, in database `callboard_posted_events`.

An event is recorded before it is published, and again when the broker has it. So a repeat finds the
original: an event that was recorded but not published is published again unchanged, with its id.

A document's id starts with the day of its first post, so that old ones are adjacent.
"""

import hashlib
import time
from itertools import islice

from attrs import frozen

from callboard.adapters.store.protocol import Conflict, DatabaseMissing, Document, DocumentStore
from callboard.webhooks.modules.posted_event import PostedEvent
from callboard.webhooks.values.kazoo_names import gregorian_s

DATABASE = "callboard_posted_events"
KEPT_S = 24 * 3600
SWEPT = 1000
"""The number of old records to delete at a time."""


@frozen
class Noted:
    """The store's record of a post. `published`: the broker has it."""

    document: Document
    published: bool
    event_id: str
    at: int
    fingerprint: str


class PostedEvents:
    """The records in a document store; raises the store's errors."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def note(self, event: PostedEvent, key: str, fingerprint: str, now_unix_s: float) -> Noted:
        """Record an event under its account's key; returns the record, possibly an earlier one."""
        digest = hashlib.sha256(f"{event.account_id}\n{key}".encode()).hexdigest()
        ids = [f"{_day(now_unix_s - KEPT_S)}-{digest}", f"{_day(now_unix_s)}-{digest}"]
        for _again in range(2):
            there = self._documents.get_many(DATABASE, ids)
            for id in ids:
                if id in there and there[id]["pvt_created"] > gregorian_s(now_unix_s) - KEPT_S:
                    return _noted(there[id])
            document: Document = {
                "_id": ids[-1],
                "pvt_type": "posted_event",
                "pvt_account_id": event.account_id,
                "pvt_created": event.at,
                "event_id": event.id,
                "fingerprint": fingerprint,
                "published": False,
            }
            if ids[-1] in there:  # Written by a clock that was set back.
                document["_rev"] = there[ids[-1]]["_rev"]
            try:
                return _noted({**document, "_rev": self._save(document)})
            except Conflict:
                continue  # Another client has just recorded the same key.
        raise Conflict("this key is being used by others")

    def _save(self, document: Document) -> str:
        try:
            return self._documents.save(DATABASE, document)
        except DatabaseMissing:
            self._documents.ensure_database(DATABASE)
            return self._documents.save(DATABASE, document)

    def published(self, noted: Noted) -> None:
        """Record that the broker has the event. Another client's record of this is as good."""
        try:
            self._documents.save(DATABASE, {**noted.document, "published": True})
        except Conflict:
            return

    def forget(self, noted: Noted) -> None:
        """Remove the record: the event was not published."""
        try:
            self._documents.delete(DATABASE, noted.document["_id"], noted.document["_rev"])
        except Conflict:
            return

    def sweep(self, now_unix_s: float) -> bool:
        """Delete some expired records; returns whether there may be more."""
        end = _day(now_unix_s - KEPT_S)
        old = islice(self._documents.documents(DATABASE, end=end, page_size=SWEPT), SWEPT)
        try:
            gone = [{"_id": d["_id"], "_rev": d["_rev"], "_deleted": True} for d in old]
        except DatabaseMissing:
            return False
        if gone:
            self._documents.save_many(DATABASE, gone)
        return len(gone) == SWEPT


def _day(unix_s: float) -> str:
    return time.strftime("%Y%m%d", time.gmtime(unix_s))


def _noted(document: Document) -> Noted:
    return Noted(
        document,
        document["published"] is True,
        document["event_id"],
        document["pvt_created"],
        document["fingerprint"],
    )
