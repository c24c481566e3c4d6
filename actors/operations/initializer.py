"""Prepares the store before hooks can be loaded, and waits for a master account."""

import time
from collections.abc import Generator, Mapping
from typing import Any

from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.role import BrokerRole, Setup
from callboard.actors.hooks.change_exchange import KAZOOS
from callboard.adapters.broker.protocol import (
    Binding,
    BrokerEvent,
    ConnectionDown,
    ConnectionUp,
    Exchange,
    IncomingMessage,
    Received,
    Topology,
)
from callboard.adapters.broker.publications import event_in
from callboard.adapters.broker.queues import own_queue
from callboard.adapters.repositories.setup import (
    prepare_accounts,
    prepare_attempts,
    prepare_hooks,
    prepare_master_account,
)
from callboard.adapters.store.protocol import StoreError, StoreUnavailable
from callboard.config.settings import Settings
from callboard.webhooks.events.changes import tells_of_an_account
from callboard.webhooks.events.event import PoisonEvent

RETRY_S = 2.0
LOOK_AGAIN_S = 60.0
"""The interval for checking for a master account without a message about one."""

_OF_ACCOUNTS = (
    "*.*.database.*",
    "doc_created.accounts.account.*",
    # In the embedded store, an account's first hook creates it, without a message of its own.
    "doc_created.webhooks.webhook.*",
)


class Initializer(BrokerRole):
    """Prepares databases, views and metadata, then ends (Kazoo: webhooks_init).

    Its supervisor does not restart it once it has finished. It retries while the store is down, and
    waits for a master account, in whose database the metadata is stored for Kazoo. During a trial
    beside Kazoo it changes nothing: Kazoo has prepared the store.
    """

    waits_for_store = True

    def begin(self, setup: Setup) -> None:
        """Log modules that could not be loaded, and begin at once."""
        self._modules = event_modules(self.settings)
        for problem in self._modules.problems:
            self.log.error("module_not_loaded", module=problem.module, reason=problem.reason)
        self._store = self.connect_store()
        self._directory = self.directory(self._store)
        self._work: Generator[None, None, bool] | None = None
        self._all_but_master = False
        self._waiting = False
        self._try_due = self.timer(self._begin_work)
        self._look_due = self.timer(self._begin_work)
        if self.settings.is_trial:
            self.log.info("store_left_as_it_is")
            self.after(0, self.finish)
        else:
            self._try_in(0)

    def stats(self) -> Mapping[str, Any]:
        """Whether it waits for a master account."""
        return {"waits_for": "a master account"} if self._waiting else {}

    def on_broker(self, event: BrokerEvent) -> None:
        """Check for a master account if a message may be about an account."""
        match event:
            case Received(messages):
                self.broker.ack([message.tag for message in messages])
                if any(map(_may_be_of_account, messages)):
                    self._account_seen = True
                    self._begin_work()
            case ConnectionUp():
                # An account may have been created before the connection.
                self._account_seen = True
                self._begin_work()
            case ConnectionDown(reason, retry_in_s):
                self.log.warning("broker_down", reason=reason, retry_in_s=round(retry_in_s, 2))

    def _try_in(self, seconds: float) -> None:
        if not self._try_due.is_set:  # do not shorten the pause after a failure
            self._try_due.within(seconds)

    def _begin_work(self) -> None:
        if self._work is None:
            self._account_seen = False
            self._work = self._prepare()
            self._step()

    def _step(self) -> None:
        """Do one step; other messages are handled before the next."""
        if self._work is None:
            return
        try:
            next(self._work)
        except StopIteration as ended:
            self._work = None
            self._worked(complete=ended.value)
        except StoreError as problem:
            self._work = None
            self.log.warning("store_not_prepared", reason=str(problem))
            self._try_in(RETRY_S)
        else:
            self.after(0, self._step)

    def _prepare(self) -> Generator[None, None, bool]:
        """Prepare everything, or later only what needs the master account; True if complete."""
        store, node = self._store, self.settings.node.name
        if not self._all_but_master:
            yield from prepare_hooks(store, node)
            if self.settings.couchdb.url.startswith("sqlite:"):
                yield from prepare_accounts(store)
        has_kazoo = self.settings.has_kazoo
        master = (yield from self._find_master_account()) if has_kazoo else None
        if master is not None:
            modules = self._modules.modules
            yield from prepare_master_account(store, modules, node, self._directory, master)
        if not self._all_but_master:
            yield from prepare_attempts(store, time.time())
            self._all_but_master = True
        return master is not None or not has_kazoo

    def _find_master_account(self) -> Generator[None, None, str | None]:
        self._directory.forget("system_config", "accounts")
        try:
            return (yield from self._directory.find_master_account())
        except StoreUnavailable:
            raise
        except StoreError as problem:
            # A new cluster may have accounts but not yet Kazoo's views of them.
            self.log.warning("accounts_unreadable", reason=str(problem))
            return None

    def _worked(self, *, complete: bool) -> None:
        if complete:
            self.log.info("store_prepared")
            self.finish()
            return
        if not self._waiting:
            self._waiting = True
            self.log.info("no_master_account_yet")
            self.connect_broker(topology(self.settings))
        if self._account_seen:
            self._try_in(0)
        self._look_due.within(LOOK_AGAIN_S)


def _may_be_of_account(message: IncomingMessage) -> bool:
    try:
        event = event_in(message)
    except PoisonEvent:
        return False  # HookListener reports what it cannot read
    return tells_of_an_account(event)


def topology(settings: Settings) -> Topology:
    """Changes of Kazoo's accounts."""
    return Topology(
        exchanges=(Exchange(KAZOOS),),
        queue=own_queue(settings.amqp.queue, "accounts"),
        bindings=tuple(Binding(KAZOOS, key) for key in _OF_ACCOUNTS),
    )
