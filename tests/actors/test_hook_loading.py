"""How hooks are loaded into the table: in order, from where a load was broken off."""

import pickle
from itertools import islice
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import capture_logs

from callboard.actors.hooks.loading import HookLoading
from callboard.actors.hooks.parser import HookParser
from callboard.actors.messages import Barrier, ChangeHooks, HooksLoaded, LoadHooks
from callboard.adapters.repositories.hooks import HookStore
from callboard.adapters.store import views
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.supervision import Timer
from support.hooks import documents_with
from support.stores import Meddled, refuse

ACCOUNT = "a1" * 16
document = documents_with(pvt_account_id=ACCOUNT, uri="http://u/")


@pytest.fixture
def store(tmp_path):
    store = EmbeddedStore(tmp_path / "store.sqlite3", views=views.ALL)
    store.ensure_database("webhooks")
    store.ensure_views("webhooks", views.WEBHOOKS)
    yield store
    store.close()


class Loading:
    """A load with the messages to the table, and `due()`: the call of its timer, if it is set."""

    def __init__(self, store, life=1, **page):
        log = structlog.get_logger()
        self.sent = []
        self.table = "table"
        self.waits = []
        self.now = 1000.0
        self._due = None
        self.parser = HookParser(frozenset({"object"}), log)
        self.loading = HookLoading(
            HookStore(store, **page),
            self.parser,
            lambda: self.table,
            lambda _table, message: self.sent.append(message),
            lambda call: Timer(self._after, call),
            log,
            life,
            lambda: self.now,
        )

    def _after(self, seconds, due):
        self.waits.append(seconds)
        self._due = due

    def due(self):
        due, self._due = self._due, None
        if due:
            due()

    def pages(self):
        return [
            ([hook.id for hook in message.hooks], message.last)
            for message in self.sent
            if isinstance(message, LoadHooks)
        ]

    def confirm(self, message, total=0):
        self.loading.loaded(HooksLoaded(message.stream, total))


def stored(store, *ids):
    for id in ids:
        store.save("webhooks", document(id, event="object"))


def test_pages_are_sent_two_ahead_and_the_last_is_marked(store):
    stored(store, "1", "2", "3", "4", "5")
    it = Loading(store, page=2)
    it.loading.begin_within(0)
    it.due()
    assert it.pages() == [(["1", "2"], False), (["3", "4"], False)]
    for number in range(4):
        it.confirm(it.sent[min(number, len(it.sent) - 1)])
    assert it.pages()[2:] == [(["5"], False), ([], True)]
    assert [message.number for message in it.sent] == [0, 1, 2, 3]
    assert len({message.stream for message in it.sent}) == 1
    assert not it.loading.under_way


def test_a_store_that_is_not_prepared_yet_is_no_news_for_a_while(tmp_path):
    empty = EmbeddedStore(tmp_path / "empty.sqlite3", views=views.ALL)
    it = Loading(empty)
    it.loading.begin_within(0)
    with capture_logs() as logs:
        it.due()
        it.now += 19.9
        it.due()
        assert logs == []
        it.now += 0.1
        it.due()
    assert [log["event"] for log in logs] == ["hooks_not_loaded"]
    empty.close()


class BreakingOff(Meddled):
    """A store that goes away after three rows of the first view."""

    def view(self, *arguments, **options):
        rows = self._store.view(*arguments, **options)
        self.calls.append("view")
        if self.calls == ["changes", "view"]:
            yield from islice(rows, 3)
            raise StoreUnavailable("away")
        yield from rows


def test_a_load_that_was_broken_off_goes_on_where_it_ended(store):
    stored(store, "1", "2", "3", "4")
    it = Loading(BreakingOff(store), page=2)
    it.loading.begin_within(0)
    with capture_logs() as logs:
        it.due()
    assert [(log["event"], log["reason"]) for log in logs] == [("hooks_not_loaded", "away")]
    assert it.pages() == [(["1", "2"], False)]
    assert it.loading.under_way
    assert it.waits == pytest.approx([0, 0.1], abs=0.05)
    stored(store, "5")
    it.due()
    for number in range(3):
        it.confirm(it.sent[number])
    # The last row before the break is read once more.
    assert it.pages()[1:] == [(["2", "3"], False), (["4", "5"], False), ([], True)]
    assert [message.number for message in it.sent] == [0, 1, 2, 3]
    assert len({message.stream for message in it.sent}) == 1


def test_a_load_that_fails_at_once_begins_again_and_then_more_rarely(store):
    stored(store, "1")
    meddled = Meddled(store)
    it = Loading(meddled)
    it.loading.begin_within(0)
    with capture_logs():
        for _attempt in range(25):
            meddled.before["view"] = refuse(StoreUnavailable("away"))
            it.due()
    assert it.sent == []
    waits = [0.0] + [0.1] * 19 + [2.0] * 6
    assert [round(wait, 1) for wait in it.waits] == waits
    it.due()
    assert it.pages() == [(["1"], False), ([], True)]
    # After a success the misses are counted from zero.
    it.waits.clear()
    it.loading.begin_within(0)
    with capture_logs():
        for _attempt in range(25):
            meddled.before["view"] = refuse(StoreUnavailable("away"))
            it.due()
    assert [round(wait, 1) for wait in it.waits] == waits


def test_no_page_is_sent_while_there_is_no_table(store):
    stored(store, "1", "2", "3", "4", "5", "6")
    it = Loading(store, page=2)
    it.loading.begin_within(0)
    it.due()
    it.table = None
    it.confirm(it.sent[0])
    assert len(it.sent) == 2
    it.table = "table"
    it.confirm(it.sent[1])
    assert [ids for ids, _last in it.pages()] == [["1", "2"], ["3", "4"], ["5", "6"], []]


def test_a_load_forgets_the_problems_of_the_one_before(store):
    stored(store, "1")
    store.save("webhooks", document("2", event="object", uri=""))
    it = Loading(store)
    with capture_logs():
        it.loading.begin_within(0)
        it.due()
    assert [problem.hook_id for problem in it.parser.problems] == ["2"]
    store.delete("webhooks", "2", store.get("webhooks", "2")["_rev"])
    it.loading.begin_within(0)
    it.due()
    assert list(it.parser.problems) == []


def test_a_later_load_that_fails_at_once_reads_all_from_the_start(store):
    stored(store, "1", "2")
    meddled = Meddled(store)
    it = Loading(meddled)
    it.loading.begin_within(0)
    it.due()
    it.sent.clear()
    meddled.before["view"] = refuse(StoreUnavailable("away"))
    it.loading.begin_within(0)
    with capture_logs():
        it.due()
    assert it.sent == []
    it.due()
    assert it.pages() == [(["1", "2"], False), ([], True)]


def test_pages_are_bounded_by_bytes(store):
    """105 hooks were one page; of 1 MB each, it was never sent, and no hook was loaded."""
    for number in range(105):
        data = {"n": f"{number} {'x' * 100_000}"}
        store.save("webhooks", document(f"{number:03}", event="object", custom_data=data))
    it = Loading(store)
    it.loading.begin_within(0)
    it.due()
    for message in it.sent:  # It grows with each confirmation.
        it.confirm(message)
    pages = it.pages()
    assert [id for ids, _last in pages for id in ids] == [f"{n:03}" for n in range(105)]
    assert [last for _ids, last in pages] == [False] * (len(pages) - 1) + [True]
    assert max(len(pickle.dumps(message)) for message in it.sent) < 1_200_000


def test_a_hook_that_no_message_can_hold_is_a_problem(store):
    """16 MiB are too much. No member but secrets may be so long."""
    facts = {"fingerprint": "f", "kind": "hmac-sha256", "since": 1, "encrypted": "x" * 2**24}
    store.save("webhooks", document("large", event="object") | {"pvt_secrets": [facts]})
    stored(store, "small")
    it = Loading(store)
    it.loading.begin_within(0)
    with capture_logs():
        it.due()
    assert it.pages() == [(["small"], False), ([], True)]
    (problem,) = it.parser.problems
    assert (problem.hook_id, problem.reason[:6]) == ("large", "it has")


def test_changes_and_pages_have_one_numbering(store):
    stored(store, "1")
    it = Loading(store)
    it.loading.begin_within(0)
    it.due()
    it.loading.change(remove_account="a")
    assert [type(message) for message in it.sent] == [LoadHooks, LoadHooks, ChangeHooks]
    assert [message.number for message in it.sent] == [0, 1, 2]
    it.table = None
    it.loading.change(remove_account="b")
    assert len(it.sent) == 3


def test_a_load_that_was_broken_off_goes_on_by_itself(store):
    stored(store, "1", "2", "3", "4", "5")
    it = Loading(BreakingOff(store), page=2)
    it.loading.begin_within(0)
    with capture_logs():
        it.due()
    assert it.pages() == [(["1", "2"], False)]
    it.due()
    assert it.pages()[1:] == [(["2", "3"], False)]


def test_a_load_that_is_to_begin_again_sends_no_further_page_of_the_one_before(store):
    stored(store, "1", "2", "3", "4", "5")
    it = Loading(store, page=2)
    it.loading.begin_within(0)
    it.due()
    first = it.sent[0].stream
    it.loading.begin_within(5)
    it.confirm(it.sent[0])
    assert (len(it.sent), it.waits[-1]) == (2, 5)
    it.due()
    assert [ids for ids, _last in it.pages()[2:]] == [["1", "2"], ["3", "4"]]
    assert it.sent[2].stream > first


def test_a_thousand_problems_are_kept_until_all_hooks_are_loaded_again():
    parser = HookParser(frozenset(), SimpleNamespace(warning=lambda *_line, **_facts: None))
    for number in range(1001):
        parser.stored({"_id": f"h{number}"} | ({"pvt_account_id": "a"} if number else {}))
    problems = parser.problems
    assert len(problems) == 1000
    assert [(one.account_id, one.hook_id) for one in problems[:2]] == [("", "h0"), ("a", "h1")]
    parser.forget_all()
    assert parser.problems == ()


def test_a_page_of_an_earlier_load_is_not_counted(store):
    stored(store, "1")
    it = Loading(store)
    for _load in range(2):
        it.loading.begin_within(0)
        it.due()
    first, second = it.sent[0], it.sent[2]
    assert first.stream < second.stream
    it.confirm(first, total=7)
    assert it.loading.total == 0
    it.confirm(second, total=1)
    assert it.loading.total == 1


def test_a_check_before_the_first_load_looks_for_lost_changes_only(store):
    it = Loading(store)
    it.loading.check()
    assert [(type(message), message.ticket) for message in it.sent] == [(Barrier, 0)]
    assert it.waits == []


def test_a_load_that_stalls_is_begun_again(store):
    stored(store, "1")
    it = Loading(store)
    it.loading.begin_within(0)
    it.due()
    it.now += 30
    it.loading.check()
    it.due()
    assert len(it.sent) == 2
    it.now += 1
    it.waits.clear()
    since = it.loading.incomplete_since
    assert since is not None
    it.loading.check()
    assert it.waits == [0]
    it.due()
    assert len(it.pages()) == 4
    assert it.sent[2].stream > it.sent[1].stream
    assert it.sent[2].number == 0
    assert it.loading.incomplete_since == since, "to begin again is no progress"
    for message in it.sent[2:]:
        it.confirm(message, total=1)
    assert it.loading.incomplete_since is None
    it.loading.check()
    it.due()
    assert len(it.pages()) == 4


def test_a_load_that_begins_late_has_its_full_time(store):
    it = Loading(store)
    it.now += 100
    it.loading.begin_within(0)
    it.due()
    it.now += 30
    it.waits.clear()
    it.loading.check()
    assert it.waits == []


def test_a_load_is_incomplete_since_its_last_confirmed_page(store):
    stored(store, "1", "2")
    it = Loading(store, page=1)
    it.loading.begin_within(0)
    it.due()
    assert it.loading.incomplete_since == 1000
    it.now += 7
    it.confirm(it.sent[0])
    assert (it.loading.incomplete_since, it.loading.complete) == (1007, False)


def loaded(store, life=1):
    it = Loading(store, life)
    it.loading.begin_within(0)
    it.due()
    for message in it.sent:
        it.confirm(message)
    return it


def test_a_check_that_all_have_passed_loads_nothing(store):
    it = loaded(store)
    before = len(it.pages())
    for _check in range(3):
        it.loading.check()
        assert isinstance(it.sent[-1], Barrier)
        it.loading.checked()
        it.due()
    assert len(it.pages()) == before


def test_a_check_that_is_not_passed_by_the_next_one_loads_again(store):
    it = loaded(store)
    before = len(it.pages())
    it.loading.change(put=())  # It is lost, and holds up the barrier.
    it.loading.check()
    it.loading.check()
    it.due()
    assert len(it.pages()) > before
    assert it.sent[-1].stream > it.sent[0].stream


def test_a_load_is_not_begun_again_for_a_check_before_it(store):
    it = loaded(store)
    it.loading.check()
    it.loading.begin_within(0)
    it.due()
    for message in it.sent[-2:]:
        it.confirm(message)
    assert it.loading.complete
    it.waits.clear()
    it.loading.check()
    assert it.waits == []
    assert isinstance(it.sent[-1], Barrier)


def test_the_loads_of_a_later_life_come_after_all_of_an_earlier_one(store):
    first = loaded(store, life=7)
    for _load in range(3):
        first.loading.begin_within(0)
        first.due()
    assert loaded(store, life=8).sent[0].stream > first.sent[-1].stream


def test_a_table_whose_hooks_are_loaded_is_incomplete_from_the_next_load_on(store):
    it = loaded(store)
    assert it.loading.complete
    it.now += 5
    it.loading.begin_within(10)
    assert (it.loading.complete, it.loading.incomplete_since) == (False, 1005.0)
