import threading
import time
from functools import partial

from callboard.adapters.store import stores
from callboard.adapters.store.health_check import StoreProbe
from callboard.adapters.store.protocol import StoreError
from services import free_port
from support.patience import patient


def first(probe, wanted, timeout_s=20):
    end = time.monotonic() + patient(timeout_s)
    while time.monotonic() < end:
        for result in probe.results():
            if wanted(result):
                return result
        time.sleep(0.01)
    raise AssertionError("no such result")


def test_a_store_that_answers(tmp_path):
    probe = StoreProbe(partial(stores.connect, "sqlite://", tmp_path), every_s=0.05, close_s=1.0)
    took_s = [first(probe, lambda r: not r.problem).took_s for _ in range(3)]
    assert max(took_s) < patient(5)
    probe.close()


def test_a_store_that_does_not_answer_is_asked_again(tmp_path):
    url = f"http://user:secret@127.0.0.1:{free_port()}"
    probe = StoreProbe(partial(stores.connect, url, tmp_path, 2.0), every_s=0.05, close_s=1.0)
    for _ in range(2):
        problem = first(probe, lambda r: r.problem).problem
        assert "secret" not in problem
        assert "refused" in problem
    probe.close()


class Failing:
    """A store whose requests fail for a reason without a text."""

    def get(self, *place):
        assert place == ("system_config", "webhooks")  # to which each node has rights
        raise StoreError

    def close(self):
        pass


def test_a_failure_without_a_text_has_the_name_of_its_kind_and_the_next_look_is_later():
    before = set(threading.enumerate())
    probe = StoreProbe(Failing, every_s=600, close_s=20.0)
    (thread,) = set(threading.enumerate()) - before
    assert (thread.name, thread.daemon) == ("store-probe", True)
    found = first(probe, lambda _result: True)
    assert found.problem == "StoreError"
    assert 0 <= found.took_s < patient(5)
    assert list(probe.results()) == []
    probe.close()
    assert not thread.is_alive()
