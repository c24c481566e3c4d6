"""Carries out operators' requests (Kazoo: webhooks_maintenance), and doc_type_update."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import frozen
from thespian.actors import ActorAddress

from callboard import admin
from callboard.actors.base.event_modules import event_modules
from callboard.actors.base.role import Setup
from callboard.actors.base.slices import Page
from callboard.actors.messages import (
    CountFailures,
    FailingListed,
    FailuresCounted,
    FailuresForgotten,
    FlushFailures,
    ListFailing,
    ListTable,
    TableListed,
)
from callboard.actors.messages.paths import FAILURE_CACHE, HOOK_TABLE
from callboard.actors.operations.answering import Answering, Asker
from callboard.actors.operations.doc_type_update import DocTypeUpdateListener
from callboard.adapters.repositories import maintenance as work
from callboard.adapters.repositories.system_config import set_account_setting, set_system_setting
from callboard.adapters.store.protocol import DatabaseMissing
from callboard.supervision import Peer
from callboard.webhooks.hooks.arguments import (
    BadArgument,
    account_argument,
    count_argument,
    cursor_argument,
    definition_argument,
    expiry_argument,
    hook_argument,
    key_argument,
    limit_argument,
)
from callboard.webhooks.values.kazoo_names import account_database, gregorian_ms, gregorian_s

CATEGORY = "webhooks"

PEER_S = 5.0
"""The time-out for responses of other actors."""
ORPHAN_PAUSE_S = 5.0
"""The pause between the orphaned hooks of one account and those of the next."""


@frozen
class _PeerRequest:
    """A request to another actor for a client; `then` is called with the response."""

    peer: str
    to: Asker
    then: Callable[[Any], None]


class Maintenance(Answering, DocTypeUpdateListener):
    """Carries out requests of `callboard.admin`, and Crossbar's requests to re-enable hooks.

    Each request gets a response: `Refused` if another actor that is needed does not respond.
    """

    def begin(self, setup: Setup) -> None:
        """Connect, and listen for requests."""
        super().begin(setup)
        self._peer_requests: dict[int, _PeerRequest] = {}
        self._orphans_not_before = 0.0

    # Administrative requests

    def begin_request(self, request: admin.AdminRequest, to: Asker) -> None:
        """Carry it out, or refuse it."""
        match request:
            case admin.HooksConfigured(account, after, limit):
                self._list_table(to, _account(account), key_argument(after), _limit(limit))
            case admin.FailureStatus(account, after, limit):
                self._list_failing(to, _account(account), key_argument(after), _limit(limit))
            case admin.FlushAccountFailures(account):
                self._flush(to, account_argument(account), None)
            case admin.FlushHookFailures(account, hook_id):
                self._flush(to, account_argument(account), hook_argument(hook_id))
            case admin.SetFailureExpiry(expiry_ms, account):
                value = expiry_argument(expiry_ms)
                self._set(to, "attempt_failure_expiry_ms", value, _account(account))
            case admin.SetDisableThreshold(count, account):
                value = count_argument(count)
                self._set(to, "attempt_failure_count", value, _account(account))
            case admin.EnableAccountHooks(account, after):
                self._enable_account(to, account_argument(account), cursor_argument(after, 2))
            case admin.EnableDescendantHooks(account, after):
                self._enable_descendants(to, account_argument(account), cursor_argument(after, 2))
            case admin.RegisterViews(after):
                self._register_views(to, cursor_argument(after, 1))
            case admin.ResetHookDefinitions():
                self._reset_definitions(to, None)
            case admin.ResetHookDefinition(definition):
                known = {module.id for module in event_modules(self.settings).modules}
                self._reset_definitions(to, definition_argument(definition, known))
            case admin.CleanUpOrphans(after, delete):
                self._clean_up_orphans(to, cursor_argument(after, 1), delete=delete is True)
            case _:
                raise BadArgument(f"{type(request).__name__} is not supported")

    # Requests that other actors carry out

    def _list_table(
        self, to: Asker, account_id: str | None, after: tuple[str, str] | None, limit: int
    ) -> None:
        def then(listed: TableListed) -> None:
            last = listed.hooks[-1] if listed.more else None
            more = (last.account_id, last.hook_id) if last else None
            self.answer(to, admin.ConfiguredHooks(listed.hooks, more))

        self._ask(HOOK_TABLE, to, then, lambda ask: ListTable(ask, account_id, after, limit))

    def _list_failing(
        self, to: Asker, account_id: str | None, after: tuple[str, str] | None, limit: int
    ) -> None:
        def count(listed: FailingListed) -> None:
            limits = self.accounts.failure_limits({account for account, _hook in listed.hooks})
            now_ms = gregorian_ms(time.time())
            since_ms = {account: now_ms - limit.expiry_ms for account, limit in limits.items()}

            def then(counted: FailuresCounted) -> None:
                failing = tuple(
                    admin.FailingHook(*hook, count)
                    for hook, count in zip(listed.hooks, counted.counts, strict=True)
                    if count
                )
                more = listed.hooks[-1] if listed.more else None
                self.answer(to, admin.FailingHooks(failing, more))

            self._ask(
                FAILURE_CACHE, to, then, lambda ask: CountFailures(ask, listed.hooks, since_ms)
            )

        self._ask(FAILURE_CACHE, to, count, lambda ask: ListFailing(ask, account_id, after, limit))

    def _flush(self, to: Asker, account_id: str, hook_id: str | None) -> None:
        def then(forgotten: FailuresForgotten) -> None:
            self.answer(to, admin.FailuresFlushed(forgotten.count))

        self._ask(
            FAILURE_CACHE,
            to,
            then,
            lambda ask: FlushFailures(account_id, hook_id, everywhere=True, ask=ask),
        )

    def _ask(
        self,
        peer: str,
        to: Asker,
        then: Callable[[Any], None],
        request: Callable[[int], Any],
    ) -> None:
        address = self.peer(peer)
        if address is None:
            self.refuse(to, f"{peer} is being restarted: try again")
            return
        ask = next(self.numbers)
        self._peer_requests[ask] = _PeerRequest(peer, to, then)
        self.send(address, request(ask))
        self.after(PEER_S, partial(self._time_out, ask))

    def receiveMsg_TableListed(self, message: TableListed, _sender: ActorAddress) -> None:
        """The hook table's response."""
        self._take_response(message)

    def receiveMsg_FailingListed(self, message: FailingListed, _sender: ActorAddress) -> None:
        """The failure cache's response."""
        self._take_response(message)

    def receiveMsg_FailuresCounted(self, message: FailuresCounted, _sender: ActorAddress) -> None:
        """The failure cache's response."""
        self._take_response(message)

    def receiveMsg_FailuresForgotten(
        self, message: FailuresForgotten, _sender: ActorAddress
    ) -> None:
        """The failure cache's response."""
        self._take_response(message)

    def _take_response(self, response: Any) -> None:
        request = self._peer_requests.pop(response.ask, None)
        if request is not None:
            with self.refusing(request.to):
                request.then(response)

    def _time_out(self, ask: int) -> None:
        if request := self._peer_requests.pop(ask, None):
            self.refuse(request.to, f"{request.peer} did not answer within {PEER_S:g} s")

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """Refuse the requests that a dead actor had."""
        for ask, request in list(self._peer_requests.items()):
            if self.peers.get(request.peer) != before.get(request.peer):
                del self._peer_requests[ask]
                self.refuse(request.to, f"{request.peer} was restarted meanwhile: try again")

    # Requests for the store

    def _set(self, to: Asker, key: str, value: int, account_id: str | None) -> None:
        if account_id is None:
            database = "system_config"
            document = set_system_setting(self.store, CATEGORY, key, value)
            self.accounts.forget(database, CATEGORY)
        else:
            database = account_database(account_id)
            try:
                document = set_account_setting(self.store, self.accounts, account_id, key, value)
            except DatabaseMissing:
                raise BadArgument(f"there is no account {account_id}") from None
        event = work.CREATED if document["_rev"].startswith("1-") else work.EDITED
        self.publish([work.Change(event, database, document)])
        self.answer(to, admin.SettingSaved(key, value, account_id))

    def _enable_account(self, to: Asker, account_id: str, after: admin.Cursor) -> None:
        steps = work.enable_account(self.store, account_id, gregorian_s(time.time()), after)
        self.work(Page(steps, self.page(to, admin.HooksEnabled)))

    def _enable_descendants(self, to: Asker, account_id: str, after: admin.Cursor) -> None:
        self.prepare_accounts()
        steps = work.enable_descendants(self.store, account_id, gregorian_s(time.time()), after)
        failed = f"failed to find descendants for account {account_id}: "
        self.work(Page(steps, self.page(to, admin.HooksEnabled, failed)))

    def _register_views(self, to: Asker, after: admin.Cursor) -> None:
        steps = work.register_views(self.store, self.accounts, time.time(), after)
        self.work(Page(steps, self.page(to, admin.ViewsRegistered)))

    def _reset_definitions(self, to: Asker, id: str | None) -> None:
        what = "old hook definitions" if id is None else f"hook {id}"

        def response(found: tuple[Any, ...], _more: admin.Cursor | None) -> admin.AdminAnswer:
            reset: admin.DefinitionsReset = found[0]
            return reset

        modules = event_modules(self.settings).modules
        steps = work.reset_definitions(self.store, self.accounts, modules, id)
        self.work(Page(steps, self.page(to, response, f"failed to clear {what}: ")))

    def _clean_up_orphans(self, to: Asker, after: admin.Cursor, *, delete: bool) -> None:
        pause_s = self._orphans_not_before - time.monotonic() if delete else 0.0

        def response(found: tuple[Any, ...], more: admin.Cursor | None) -> admin.AdminAnswer:
            if delete and found:
                self._orphans_not_before = time.monotonic() + ORPHAN_PAUSE_S
            return admin.OrphansCleanedUp(found, more)

        steps = work.orphans(self.store, after, delete=delete)
        self.work(Page(steps, self.page(to, response)), pause_s)


def _account(argument: str | None) -> str | None:
    return None if argument is None else account_argument(argument)


def _limit(argument: int) -> int:
    return limit_argument(argument, admin.PAGE_LIMIT)
