"""Looks at the hooks of due deliveries as they are now, before these are sent."""

import itertools
import math
import time
from collections.abc import Callable, Collection, Iterable
from random import random
from typing import Any

from attrs import evolve
from thespian.actors import ActorAddress

from callboard.actors.delivery.transports import grants
from callboard.actors.messages import FindHooks, HooksFound, HooksOutdated
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store.protocol import StoreError
from callboard.config.settings import Settings
from callboard.supervision import Timer
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.hooks.failure_window import HookKey
from callboard.webhooks.hooks.hook import ALL
from callboard.webhooks.retries.outdated_hooks import OutdatedHooks
from callboard.webhooks.retries.policy import with_choices
from callboard.webhooks.retries.retry_message import RetryMessage
from callboard.webhooks.retries.standing import (
    Cancel,
    Ended,
    Ready,
    Send,
    Standing,
    Unknown,
    Wait,
    held,
    judged,
    standing,
)

ASK_AGAIN_S = 1.0
"""The interval for asking a table that is not loaded."""
ANSWER_S = 10.0
"""After this time without a response, the table is asked again; a message may have been lost."""

Due = tuple[int, RetryMessage]
"""A delivery that is due, and its delivery tag."""


class HookJudge:
    """Decides for each due delivery whether it is sent, waits or is cancelled.

    The hook table has the hooks that may fire. Others are read from the store, which says why they
    may not. Nothing is decided before the table is loaded. `decide` is called with each tag and its
    result.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: HookStore,
        directory: StoreDirectory,
        known_events: Collection[str],
        table: Callable[[], ActorAddress | None],
        send: Callable[[ActorAddress, Any], None],
        timer: Callable[[Callable[[], None]], Timer],
        decide: Callable[[int, Send | Wait | Cancel], None],
        log: Any,
    ) -> None:
        self._settings, self._store, self._directory = settings, store, directory
        self._known_events, self._table, self._send = known_events, table, send
        self._decide, self._log = decide, log
        self._waiting: list[Due] = []
        self._asked: dict[int, tuple[list[Due], float]] = {}
        self._asks = itertools.count(1)
        self._outdated = OutdatedHooks()
        self._ask_due = timer(self.ask)

    def __len__(self) -> int:
        """The number of undecided deliveries."""
        return len(self._waiting) + sum(len(due) for due, _since in self._asked.values())

    def take(self, tag: int, retry: RetryMessage) -> None:
        """Take a due delivery; `ask` asks for the hooks of all that were taken."""
        if retry.delivery.unstored:
            self._decide(tag, Send(retry))
        else:
            self._waiting.append((tag, retry))

    def ask(self) -> None:
        """Ask the table for the hooks of the deliveries that wait for it."""
        self._ask_overdue()
        table = self._table()
        if self._waiting and table is not None:
            due, self._waiting = self._waiting, []
            ask = next(self._asks)
            self._asked[ask] = due, time.monotonic()
            keys = dict.fromkeys(map(_key, due))
            self._send(table, FindHooks(ask, tuple(keys)))
        if self._asked:
            self._ask_due.within(ANSWER_S)

    def ask_again(self) -> None:
        """Ask for everything undecided: the table is a new one."""
        for due, _since in self._asked.values():
            self._waiting += due
        self._asked.clear()
        self.ask()

    def forget(self, is_gone: Callable[[int], bool] = lambda _tag: True) -> None:
        """Drop the deliveries with these tags: the broker will redeliver them."""
        self._waiting = [due for due in self._waiting if not is_gone(due[0])]
        self._asked = {
            ask: ([each for each in due if not is_gone(each[0])], since)
            for ask, (due, since) in self._asked.items()
        }

    def outdated(self, message: HooksOutdated) -> None:
        """Remember that these hooks have changed: older responses do not count for them."""
        self._outdated.add(message.keys, message.change)

    def found(self, message: HooksFound) -> None:
        """The table's response: decide."""
        due, _since = self._asked.pop(message.ask, ([], 0.0))
        if message.hooks is None:
            self._waiting += due
            self._ask_due.within(ASK_AGAIN_S)
            return
        hooks = {(hook.account_id, hook.id): hook for hook in message.hooks}
        left, missing = set(message.left), []
        for tag, retry in due:
            key = _key((tag, retry))
            if key in left or self._outdated.changed_since(key, message.change):
                self._waiting.append((tag, retry))
            elif (hook := hooks.get(key)) is not None:
                self._judge(tag, retry, Ready(hook))
            else:
                missing.append((tag, retry))
        if missing:
            self._judge_by_store(missing)
        self.ask()

    def _ask_overdue(self) -> None:
        before = time.monotonic() - ANSWER_S
        for ask in [ask for ask, (_due, since) in self._asked.items() if since <= before]:
            self._waiting += self._asked.pop(ask)[0]

    def _judge_by_store(self, due: list[Due]) -> None:
        """Decide about deliveries of hooks that may not fire, by their documents."""
        try:
            found = self._standings(due)
        except StoreError as problem:
            self._log.warning("store_unavailable", reason=str(problem), held=len(due))
            for tag, retry in due:
                self._decide(tag, held(retry, "store unavailable", time.time(), math.inf, random))
            return
        for tag, retry in due:
            self._judge(tag, retry, found[_key((tag, retry))])

    def _standings(self, due: Iterable[Due]) -> dict[HookKey, Standing]:
        found: dict[HookKey, Standing] = {}
        documents = self._store.get_many({retry.delivery.hook_id for _tag, retry in due})
        for tag, retry in due:
            key = account_id, hook_id = _key((tag, retry))
            if key in found:
                continue
            document = documents.get(hook_id)
            if document is None and retry.delivery.unstored is None:
                found[key] = Unknown()
                continue
            state = standing(document, self._known_events)
            if isinstance(state, Ready):
                # The table does not have it: its account is gone, or the change is not here yet.
                gone = state.hook.account_id != account_id or self._is_gone(account_id)
                state = Ended("account deleted") if gone else state
            found[key] = state
        return found

    def _is_gone(self, account_id: str) -> bool:
        account = self._store.documents.get("accounts", account_id)
        return account is not None and account.get("pvt_deleted") is True

    def _judge(self, tag: int, retry: RetryMessage, state: Standing) -> None:
        most_s = self._settings.delivery.park_hours * 3600
        fate = judged(retry, state, time.time(), most_s, random)
        if isinstance(fate, Send) and isinstance(state, Ready):
            delivery = self._with_choices(fate.retry.delivery, retry.delivery)
            fate = Send(evolve(fate.retry, delivery=delivery))
        self._decide(tag, fate)

    def _with_choices(self, delivery: Delivery, before: Delivery) -> Delivery:
        """The choices of the account and the event type; while the store is away, those so far."""
        settings = self._settings.delivery
        event = delivery.hook_event.lower()
        steps_s = settings.event_retry_steps_s.get(event, ())
        if event == ALL:
            steps_s = before.options.retry_steps_s
        try:
            account = self._directory.choices_of(delivery.account_id)
        except StoreError:
            options, old = delivery.options, before.options
            kept = evolve(
                options,
                policy=options.policy or old.policy,
                retry_steps_s=options.retry_steps_s or old.retry_steps_s,
                endpoint=old.endpoint,
                log_successful=old.log_successful,
            )
            return delivery if kept == options else evolve(delivery, options=kept)
        return with_choices(
            delivery, account, settings.retry_policy, steps_s, grants(self._settings)
        )


def _key(due: Due) -> HookKey:
    delivery = due[1].delivery
    return delivery.account_id, delivery.hook_id
