"""What operators and other actors ask for (Kazoo: webhooks_maintenance), and doc_type_update."""

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
"""How long another actor may take to answer."""
ORPHAN_PAUSE_S = 5.0
"""Between the hooks of one account that is gone and those of the next."""


@frozen
class _Question:
    """Asked of another actor on somebody's behalf; `then` takes the answer."""

    peer: str
    to: Asker
    then: Callable[[Any], None]


class Maintenance(Answering, DocTypeUpdateListener):
    """Carries out `callboard.admin`, and the requests to re-enable hooks that Crossbar sends.

    Whoever asks is answered in the end, with `Refused` if an actor that knows does not answer.
    """

    def begin(self, setup: Setup) -> None:
        """Nothing is asked yet."""
        super().begin(setup)
        self._questions: dict[int, _Question] = {}
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
                raise BadArgument(f"{type(request).__name__} is no request that can be carried out")

    # What other actors know

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
        question: Callable[[int], Any],
    ) -> None:
        address = self.peer(peer)
        if address is None:
            self.refuse(to, f"{peer} is being restarted: try again")
            return
        ask = next(self.numbers)
        self._questions[ask] = _Question(peer, to, then)
        self.send(address, question(ask))
        self.after(PEER_S, partial(self._give_up_on, ask))

    def receiveMsg_TableListed(self, message: TableListed, _sender: ActorAddress) -> None:
        """The hook table's answer."""
        self._answered(message)

    def receiveMsg_FailingListed(self, message: FailingListed, _sender: ActorAddress) -> None:
        """The failure cache's answer."""
        self._answered(message)

    def receiveMsg_FailuresCounted(self, message: FailuresCounted, _sender: ActorAddress) -> None:
        """The failure cache's answer."""
        self._answered(message)

    def receiveMsg_FailuresForgotten(
        self, message: FailuresForgotten, _sender: ActorAddress
    ) -> None:
        """The failure cache's answer."""
        self._answered(message)

    def _answered(self, answer: Any) -> None:
        question = self._questions.pop(answer.ask, None)
        if question is not None:
            with self.refusing(question.to):
                question.then(answer)

    def _give_up_on(self, ask: int) -> None:
        if question := self._questions.pop(ask, None):
            self.refuse(question.to, f"{question.peer} did not answer within {PEER_S:g} s")

    def on_peers(self, before: Mapping[str, Peer]) -> None:
        """An actor that died takes its questions with it."""
        for ask, question in list(self._questions.items()):
            if self.peers.get(question.peer) != before.get(question.peer):
                del self._questions[ask]
                self.refuse(question.to, f"{question.peer} was restarted meanwhile: try again")

    # What the store holds

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

        def answer(found: tuple[Any, ...], _more: admin.Cursor | None) -> admin.AdminAnswer:
            reset: admin.DefinitionsReset = found[0]
            return reset

        modules = event_modules(self.settings).modules
        steps = work.reset_definitions(self.store, self.accounts, modules, id)
        self.work(Page(steps, self.page(to, answer, f"failed to clear {what}: ")))

    def _clean_up_orphans(self, to: Asker, after: admin.Cursor, *, delete: bool) -> None:
        pause_s = self._orphans_not_before - time.monotonic() if delete else 0.0

        def answer(found: tuple[Any, ...], more: admin.Cursor | None) -> admin.AdminAnswer:
            if delete and found:
                self._orphans_not_before = time.monotonic() + ORPHAN_PAUSE_S
            return admin.OrphansCleanedUp(found, more)

        steps = work.orphans(self.store, after, delete=delete)
        self.work(Page(steps, self.page(to, answer)), pause_s)


def _account(argument: str | None) -> str | None:
    return None if argument is None else account_argument(argument)


def _limit(argument: int) -> int:
    return limit_argument(argument, admin.PAGE_LIMIT)
