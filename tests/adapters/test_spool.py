"""The spool keeps records in order, through death and lack of space."""

import multiprocessing
import os
import resource
import signal
import sqlite3
import stat
from contextlib import closing, nullcontext

import pytest

from callboard.adapters.store.embedded import used_bytes
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.adapters.store.spool import Spool

FORKED = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "spool.sqlite3"


@pytest.fixture
def spool(path):
    spool = Spool(path)
    yield spool
    spool.close()


def records(*numbers, text=""):
    return [(f"db{n % 2}", {"n": n, "text": text}) for n in numbers]


def numbers(found):
    return [document["n"] for _id, _database, document in found]


def in_child(work):
    child = FORKED.Process(target=work)
    child.start()
    child.join(30)
    return child.exitcode


def test_a_database_whose_name_no_store_can_have_holds_up_no_other(spool):
    spool.append([("db\ud800", {"n": 1}), ("db", {"n": 2})])
    found = [(database, document) for _id, database, document in spool.first(3)]
    assert found == [("db?", {"n": 1}), ("db", {"n": 2})]


def test_first_in_first_out(spool):
    spool.append(records(1, 2))
    spool.append(records(3, 4, 5))
    assert len(spool) == 5
    found = spool.first(3)
    assert [(database, document["n"]) for _id, database, document in found] == [
        ("db1", 1), ("db0", 2), ("db1", 3),
    ]  # fmt: skip
    assert spool.first(3) == found
    spool.remove([id for id, _database, _document in found])
    assert numbers(spool.first(10)) == [4, 5]
    assert len(spool) == 2
    assert spool.dropped == 0


def test_large_ones_are_read_a_few_at_a_time(spool):
    spool.append(records(1, 2, 3, 4, text="x" * 1000))
    assert numbers(spool.first(10, most_bytes=1500)) == [1, 2]
    assert numbers(spool.first(10, most_bytes=1)) == [1]
    assert numbers(spool.first(3, most_bytes=10_000)) == [1, 2, 3]


def test_any_of_them_may_be_removed(spool):
    spool.append(records(1, 2, 3))
    middle = spool.first(2)[1][0]
    spool.remove([middle, middle, 999])
    spool.remove([])
    assert numbers(spool.first(10)) == [1, 3]


def test_an_id_is_never_given_again(spool):
    spool.append(records(1))
    (before,) = spool.first(1)
    spool.remove([before[0]])
    spool.append(records(2))
    spool.remove([before[0]])
    assert numbers(spool.first(1)) == [2]


def test_documents_come_back_as_they_were(spool):
    document = {"é": [1.5, None, {"😀": "\0"}], "half": "\ud800"}
    spool.append([("account/ab/cd-202611", document)])
    ((_id, database, found),) = spool.first(1)
    assert (database, found) == ("account/ab/cd-202611", document)


def test_what_was_appended_survives_a_kill(spool):
    def append_and_die():
        spool.append(records(1, 2))
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(append_and_die) == -signal.SIGKILL
    assert numbers(spool.first(10)) == [1, 2]


def test_all_or_none(spool):
    with pytest.raises(TypeError):
        spool.append([*records(1), ("db", {"n": object()})])
    assert len(spool) == 0


def test_it_stays_when_closed(spool, path):
    spool.append(records(1))
    spool.close()
    other = Spool(path)
    assert numbers(other.first(1)) == numbers(spool.first(1)) == [1]
    other.close()


def test_is_for_its_owner_only(spool, path):
    spool.append(records(1))
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_the_oldest_make_room(path):
    spool = Spool(path, max_bytes=1_000_000)
    for n in range(300):
        spool.append(records(n, text="x" * 10_000))
    kept = numbers(spool.first(1000))
    assert kept == list(range(spool.dropped, 300))
    assert len(spool) == len(kept) > 0
    assert 0 < spool.dropped < 300
    assert path.stat().st_size < 2_500_000
    spool.close()


def test_one_that_drops_nothing_takes_no_more_until_there_is_room(path):
    spool = Spool(path, max_bytes=100_000, dropping=False)
    with pytest.raises(StoreUnavailable, match="it holds 100000 bytes"):
        for n in range(300):
            spool.append(records(n, text="x" * 10_000))
    kept = spool.first(1000)
    assert numbers(kept) == list(range(len(kept)))
    assert (5 < len(kept) < 20, spool.dropped) == (True, 0)
    spool.remove([id for id, _database, _document in kept])
    spool.append(records(300))
    assert numbers(spool.first(10)) == [300]
    spool.close()


@pytest.mark.parametrize(("less", "takes_more"), [(0, True), (1, False)])
def test_one_that_drops_nothing_is_full_beyond_its_limit(path, less, takes_more):
    with closing(Spool(path, dropping=False)) as spool:
        spool.append(records(1))
    with closing(sqlite3.connect(path)) as connection:
        used = used_bytes(connection)
    with closing(Spool(path, max_bytes=used - less, dropping=False)) as spool:
        with nullcontext() if takes_more else pytest.raises(StoreUnavailable):
            spool.append(records(2))
        assert len(spool) == 1 + takes_more


def test_room_that_was_made_is_used_again(path):
    spool = Spool(path, max_bytes=1_000_000)
    for n in range(300):
        spool.append(records(n, text="x" * 10_000))
        spool.remove([spool.first(1)[0][0]])
    assert (len(spool), spool.dropped) == (0, 0)
    spool.close()


def test_one_that_is_larger_than_everything(path):
    spool = Spool(path, max_bytes=100_000)
    spool.append(records(1))
    spool.append(records(2, text="x" * 200_000))
    assert (len(spool), spool.dropped) == (0, 2)
    spool.append(records(3))
    assert numbers(spool.first(2)) == [3]
    spool.close()


def test_no_space(spool, path):
    spool.append(records(1))

    def fill():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
        with pytest.raises(StoreUnavailable, match=str(path)):
            spool.append(records(2, text="x" * 1_000_000))
        spool.append(records(3))

    assert in_child(fill) == 0
    assert numbers(spool.first(10)) == [1, 3]
    assert spool.dropped == 0
