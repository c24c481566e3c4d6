"""What the retry queue finds out about the hooks of due deliveries, without processes."""

import time

import pytest
from attrs import evolve
from structlog import get_logger

from callboard.actors.delivery.judging import HookJudge
from callboard.actors.messages import FindHooks, HooksFound, HooksOutdated
from callboard.adapters.repositories.directory import StoreDirectory
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store import stores
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.config.settings import DeliverySettings, Settings
from callboard.supervision import Timer
from callboard.webhooks.deliveries.delivery import Delivery
from callboard.webhooks.deliveries.presenting import presented
from callboard.webhooks.hooks.hook import JSON, Hook
from callboard.webhooks.hooks.options import CANCELLED_UNTIL, Options
from callboard.webhooks.retries.retry_message import RetryMessage
from callboard.webhooks.retries.standing import Cancel, Send, Wait
from support.stores import Meddled, refuse

ACCOUNT = "ab" * 16
HOOK = Hook(id="h", account_id=ACCOUNT, uri="https://e.example/", event="object", format=JSON)
DOCUMENT = {
    "_id": "h",
    "pvt_type": "webhook",
    "pvt_account_id": ACCOUNT,
    "uri": HOOK.uri,
    "hook": "object",
    "format": "json",
}


def due(id="d", hook_id="h", account_id=ACCOUNT, **changes):
    plain = Delivery(
        id, "e", hook_id, account_id, "object", HOOK.uri, "POST", HOOK.uri,
        (("webhook-id", id),), b"{}",
    )  # fmt: skip
    made = presented(plain, evolve(HOOK, id=hook_id, account_id=account_id))
    return RetryMessage(evolve(made, **changes), 1, 1000, taken_ms=1000)


class Here(HookJudge):
    """A judge with a store, whose messages and decisions stay here."""

    def __init__(self, folder, **delivery):
        self.store = Meddled(stores.connect("sqlite://", folder))
        for database in ("webhooks", "accounts"):
            self.store.ensure_database(database)
        self.asked, self.decided, self.timers = [], [], []
        self.table = "table"
        super().__init__(
            Settings(delivery=DeliverySettings(**delivery)),
            store=HookStore(self.store),
            directory=StoreDirectory(self.store, "n", "z"),
            known_events=("object",),
            table=lambda: self.table,
            send=lambda _to, message: self.asked.append(message),
            timer=lambda call: Timer(lambda seconds, _call: self.timers.append(seconds), call),
            decide=lambda tag, fate: self.decided.append((tag, fate)),
            log=get_logger(),
        )

    def put(self, *retries):
        for tag, retry in enumerate(retries, 1):
            self.take(tag, retry)
        self.ask()
        return self.asked[-1].ask

    def answer(self, *hooks, change=1, ask=None):
        self.found(HooksFound(self.asked[-1].ask if ask is None else ask, hooks, change))


@pytest.fixture
def judge(tmp_path):
    here = Here(tmp_path)
    yield here
    here.store.close()


def test_one_question_for_all_that_are_due_and_each_hook_once(judge):
    other = due("d3", "g")
    judge.put(due("d1"), due("d2"), other)
    assert judge.asked == [FindHooks(1, ((ACCOUNT, "h"), (ACCOUNT, "g")))]
    assert (judge.decided, len(judge)) == ([], 3)
    judge.answer(HOOK, evolve(HOOK, id="g", uri="https://g.example/"))
    assert [tag for tag, _fate in judge.decided] == [1, 2, 3]
    fates = [fate for _tag, fate in judge.decided]
    assert all(isinstance(fate, Send) for fate in fates)
    assert [f.retry.delivery.uri for f in fates] == [HOOK.uri, HOOK.uri, "https://g.example/"]
    assert len(judge) == 0


def test_nothing_is_decided_before_the_table_has_its_hooks(judge):
    judge.put(due())
    judge.found(HooksFound(1, None))
    assert (judge.decided, len(judge.asked), len(judge)) == ([], 1, 1)
    judge.ask()
    assert [question.ask for question in judge.asked] == [1, 2]
    judge.answer(HOOK)
    assert len(judge.decided) == 1


def test_a_table_that_is_down_or_restarts_is_asked_when_it_is_up(judge):
    judge.table = None
    judge.take(1, due())
    judge.ask()
    assert judge.asked == []
    judge.table = "table"
    judge.ask()
    judge.ask_again()
    assert [question.ask for question in judge.asked] == [1, 2]
    judge.answer(HOOK, ask=1)
    assert judge.decided == [], "the answer of the table before"
    judge.answer(HOOK)
    judge.answer(HOOK)
    assert len(judge.decided) == 1


def test_a_lost_answer_is_asked_for_again(judge, monkeypatch):
    judge.put(due())
    assert judge.timers == [pytest.approx(10.0, abs=1)]
    later = time.monotonic() + 10.0
    monkeypatch.setattr("time.monotonic", lambda: later)
    judge.ask()
    assert [question.ask for question in judge.asked] == [1, 2]


def test_an_answer_from_before_a_change_counts_for_nothing(judge):
    judge.put(due(), due("d2", "g"))
    judge.outdated(HooksOutdated(7, ((ACCOUNT, "h"),)))
    judge.answer(HOOK, evolve(HOOK, id="g"), change=6)
    assert [tag for tag, _fate in judge.decided] == [2]
    assert judge.asked[-1].keys == ((ACCOUNT, "h"),)
    judge.answer(evolve(HOOK, uri="https://new.example/"), change=7)
    assert judge.decided[-1][1].retry.delivery.uri == "https://new.example/"


def test_hooks_too_large_for_one_message_are_asked_for_again(judge):
    judge.put(due(), due("d2", "g"))
    judge.found(HooksFound(1, (HOOK,), 1, ((ACCOUNT, "g"),)))
    assert [tag for tag, _fate in judge.decided] == [1]
    assert judge.asked[-1] == FindHooks(2, ((ACCOUNT, "g"),))


def test_the_changes_remembered_are_bounded(judge):
    keys = tuple((ACCOUNT, str(number)) for number in range(20_005))
    judge.outdated(HooksOutdated(7, keys))
    assert len(judge._outdated) == 20_000


def test_what_the_broker_will_redeliver_is_forgotten(judge):
    ask = judge.put(due())
    judge.take(2, due("d2"))
    judge.forget()
    judge.answer(HOOK, ask=ask)
    assert (judge.decided, len(judge)) == ([], 0)


@pytest.mark.parametrize(
    ("document", "kind", "reason"),
    [
        (None, Cancel, "hook deleted"),
        ({"pvt_deleted": True}, Cancel, "hook deleted"),
        ({"enabled": False}, Cancel, "hook disabled"),
        ({"enabled": False, "pvt_disabled_message": "x"}, Wait, None),
        (
            {"enabled": False, "pvt_disabled_message": "x", CANCELLED_UNTIL: 1000},
            Cancel,
            "cancelled on request",
        ),
        ({"hook": "other"}, Wait, None),
        ({"pvt_account_id": "cd" * 16}, Cancel, "account deleted"),
        ({"pvt_type": "note"}, Cancel, "hook deleted"),
        ({}, Send, None),
    ],
)
def test_the_store_says_why_a_hook_is_not_in_the_table(judge, document, kind, reason):
    if document is not None:
        judge.store.save("webhooks", {**DOCUMENT, **document})
    judge.put(due())
    judge.answer()
    ((tag, fate),) = judge.decided
    assert (tag, type(fate)) == (1, kind)
    if reason is not None:
        assert fate.reason == reason


def test_the_hooks_of_a_deleted_account_are_gone(judge):
    judge.store.save("webhooks", DOCUMENT)
    judge.store.save("accounts", {"_id": ACCOUNT, "pvt_deleted": True})
    judge.put(due())
    judge.answer()
    assert [fate.reason for _tag, fate in judge.decided] == ["account deleted"]


def test_one_look_into_the_store_for_all_that_lack_a_hook(judge):
    judge.put(*(due(str(n), f"h{n // 3}") for n in range(9)))
    judge.answer()
    assert judge.store.calls.count("get_many") == 1
    assert len(judge.decided) == 9


def test_while_the_store_is_away_they_wait_and_are_never_cancelled_for_it(judge):
    judge.store.before["get_many"] = refuse(StoreUnavailable("away"))
    judge.put(evolve(due(), deferred_since_ms=1, deferrals=10**6))
    judge.answer()
    ((_tag, fate),) = judge.decided
    assert isinstance(fate, Wait)


def test_a_callflows_hook_is_not_looked_for(judge):
    judge.take(1, due(unstored=True))
    assert [type(fate) for _tag, fate in judge.decided] == [Send]
    judge.put(due(unstored=None))
    judge.answer()
    assert [type(fate) for _tag, fate in judge.decided] == [Send, Send]


def test_the_account_and_the_event_type_choose_what_the_hook_leaves_open(tmp_path):
    judge = Here(tmp_path, event_retry_steps_s={"object": (3.0,)})
    judge.put(due(options=Options(policy="kazoo", retry_steps_s=(9.0,))))
    judge.answer(HOOK)
    options = judge.decided[0][1].retry.delivery.options
    assert (options.policy, options.retry_steps_s) == ("standard", (3.0,))
    judge.put(due(options=Options(policy="kazoo", retry_steps_s=(9.0,))))
    judge.answer(evolve(HOOK, event="all"))
    assert judge.decided[1][1].retry.delivery.options.retry_steps_s == (9.0,)
    judge.store.close()


def test_while_the_store_is_away_the_choices_so_far_stay(judge):
    judge.store.before["get"] = refuse(StoreUnavailable("away"))
    before = Options(
        policy="standard", retry_steps_s=(9.0,), log_successful=True, headers=(("a", "b"),)
    )
    judge.put(due(options=before))
    judge.answer(evolve(HOOK, options=Options(ordered=True)))
    options = judge.decided[0][1].retry.delivery.options
    assert options == Options(
        policy="standard", retry_steps_s=(9.0,), log_successful=True, ordered=True
    )


def test_each_account_is_looked_up_once_for_all_deliveries_of_a_hook(judge):
    judge.store.save("webhooks", DOCUMENT)
    judge.store.save("accounts", {"_id": ACCOUNT, "pvt_deleted": True})
    judge.store.calls.clear()
    judge.put(*(due(str(number)) for number in range(5)))
    judge.answer()
    assert [fate.reason for _tag, fate in judge.decided] == ["account deleted"] * 5
    assert judge.store.calls.count("get") == 1
