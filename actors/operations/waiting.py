"""Listings of the deliveries that wait in the retry queue, and attempts before they are due."""

import time
from collections.abc import Iterable

from attrs import evolve

from callboard import admin
from callboard.actors.delivery.retry_queue import due_message
from callboard.actors.delivery.waiting_deliveries import waiting_delivery, waiting_index
from callboard.adapters.broker.protocol import OutgoingMessage
from callboard.adapters.store.waiting_index import Waiting, WaitingIndex, Window
from callboard.config.settings import Settings
from callboard.webhooks.history.attempts import contains
from callboard.webhooks.history.dead_letters import NotRepeatable
from callboard.webhooks.hooks.arguments import (
    NotOnThisNode,
    account_argument,
    cursor_argument,
    due_argument,
    hook_argument,
    limit_argument,
)
from callboard.webhooks.retries.retry_message import UnreadableDelivery, from_json

PAGE = 500


class WaitingRequests:
    """Answers requests by the node's index. Its methods raise BadArgument and StoreError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._index = waiting_index(settings)

    def listed(self, request: admin.ListWaiting) -> admin.WaitingListed:
        """A page of the deliveries that wait."""
        hook_id, account, index = request.hook_id, request.account, self._known()
        window = Window(
            None if hook_id is None else hook_argument(hook_id),
            None if account is None else account_argument(account),
        )
        cursor = cursor_argument(request.after, 2)
        limit = limit_argument(request.limit, PAGE)
        most = PAGE if request.text else limit
        found = index.page(window, _place(cursor), most + 1)
        shown: list[admin.WaitingDelivery] = []
        looked_at = 0
        for waiting in found[:most]:
            if len(shown) == limit:
                break
            looked_at += 1
            retry = from_json(waiting.message)
            if contains(retry.delivery, request.text):
                shown.append(
                    waiting_delivery(self._settings, retry, waiting.due_ms, waiting.reason)
                )
        more = _cursor(found[looked_at - 1]) if looked_at < len(found) else None
        return admin.WaitingListed(tuple(shown), index.count(window), more)

    def chosen(
        self, hook_id: str, after: admin.Cursor
    ) -> tuple[dict[str, Waiting], admin.Cursor | None]:
        """The next deliveries of a hook that are not due yet, by id, and the cursor after them."""
        now_ms = int(time.time() * 1000)
        cursor = cursor_argument(after, 3) or (str(now_ms), str(now_ms), "")
        began_ms = due_argument(cursor[0])
        found = self._known().page(Window(hook_id, None, began_ms), _place(cursor[1:]), PAGE)
        more = (cursor[0], *_cursor(found[-1])) if len(found) == PAGE else None
        return {waiting.id: waiting for waiting in found}, more

    def message(self, waiting: Waiting) -> OutgoingMessage:
        """A newer copy, which is due. Raises NotRepeatable."""
        try:
            retry = from_json(waiting.message)
        except UnreadableDelivery as problem:
            raise NotRepeatable(str(problem)) from None
        now_ms = int(time.time() * 1000)
        copy = evolve(retry, due_ms=now_ms, left=(), deferrals=waiting.deferrals + 1)
        return due_message(self._settings, copy)

    def sent(self, copies: Iterable[Waiting]) -> None:
        """The broker has the copies of these: the ones that wait are dropped when they are due."""
        self._known().sent_early(copies)

    def close(self) -> None:
        """Close the index."""
        if self._index is not None:
            self._index.close()

    def _known(self) -> WaitingIndex:
        if self._index is None:
            setting = "delivery.waiting_index_mb"
            reason = f"{setting} is 0: this node does not list its waiting deliveries"
            raise NotOnThisNode(reason, setting)
        return self._index


def _cursor(waiting: Waiting) -> admin.Cursor:
    return str(waiting.due_ms), waiting.id


def _place(cursor: admin.Cursor) -> tuple[int, str] | None:
    return (due_argument(cursor[0]), cursor[1]) if cursor else None
