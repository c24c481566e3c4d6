import threading

from callboard.actors.base.thread_pool import ThreadPool
from services.rabbitmq import wait_until

PATIENCE_S = 10


def test_all_threads_work_while_each_waits():
    threads = 5
    all_here = threading.Barrier(threads + 1)

    def wait(_work):
        pool.waits()
        all_here.wait(PATIENCE_S)

    pool = ThreadPool(threads, wait, "test")
    for round in range(2):
        for number in range(threads):
            pool.add((round, number))
        all_here.wait(PATIENCE_S)
    assert not len(pool)


def test_no_more_threads_are_awake_than_look_for_work():
    go_on, done, awake = threading.Event(), threading.Semaphore(0), set()

    def work(_work):
        awake.add(threading.current_thread().name)
        go_on.wait(PATIENCE_S)
        done.release()

    pool = ThreadPool(5, work, "awake")
    pool.waits()  # This thread is none of its own.
    for number in range(20):
        pool.add(number)
    begun = [one for one in threading.enumerate() if one.name.startswith("awake-")]
    assert len(begun) == 2
    go_on.set()
    assert all(done.acquire(timeout=PATIENCE_S) for _ in range(20))
    assert len(awake) <= 2


def test_a_thread_of_others_that_waits_is_none_of_the_pool():
    """A signal of its own would let one thread too few look for work, and at last none."""
    pool, done = ThreadPool(2, lambda _work: done.release(), "test"), threading.Semaphore(0)
    for number in range(20):
        pool.waits()
        pool.add(number)
        assert done.acquire(timeout=PATIENCE_S)
    pool.close()


def test_threads_end_when_they_are_done_and_begin_nothing_more():
    begun, go_on, done = threading.Semaphore(0), threading.Event(), []

    def work(number):
        pool.waits()
        begun.release()
        go_on.wait(PATIENCE_S)
        done.append(number)

    before = set(threading.enumerate())
    pool = ThreadPool(3, work, "test")
    for number in range(5):
        pool.add(number)
    assert all(begun.acquire(timeout=PATIENCE_S) for _ in range(3))
    threads = set(threading.enumerate()) - before
    assert len(threads) == 3
    pool.close()
    assert not len(pool)
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert sorted(done) == list(range(3))


def test_one_that_waits_and_is_back_looks_for_work_again():
    back, done = threading.Event(), threading.Semaphore(0)

    def work(waits):
        if waits:
            pool.waits()
            back.wait(PATIENCE_S)
        done.release()

    pool = ThreadPool(1, work, "test")
    for waits in (True, False, True, False):
        pool.add(waits)
    assert not done.acquire(blocking=False)
    back.set()
    assert all(done.acquire(timeout=PATIENCE_S) for _ in range(4))


def test_two_threads_look_for_work_and_one_more_for_each_that_waits():
    go_on, waits, done = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def work(blocks):
        if blocks:
            pool.waits()
            waits.release()
        go_on.wait(PATIENCE_S)
        done.release()

    before = set(threading.enumerate())

    def threads():
        return len(set(threading.enumerate()) - before)

    pool = ThreadPool(9, work, "test")
    started = []
    for _number in range(6):
        pool.add(False)
        started.append(threads())
    assert started == [1, 2, 2, 2, 2, 2]
    pool.close()
    go_on.set()
    go_on, pool = threading.Event(), ThreadPool(9, work, "test")
    before = set(threading.enumerate())
    for number in range(1, 5):
        pool.add(True)
        assert waits.acquire(timeout=PATIENCE_S)
        assert threads() == number
    pool.close()
    go_on.set()


def test_threads_start_when_they_are_needed():
    done = threading.Semaphore(0)
    before = set(threading.enumerate())
    pool = ThreadPool(32, lambda _work: done.release(), "test")
    assert set(threading.enumerate()) == before
    for number in range(20):
        pool.add(number)
        assert done.acquire(timeout=PATIENCE_S)
    assert 1 <= len(set(threading.enumerate()) - before) <= 2
    pool.close()


def test_a_thread_that_has_slept_counts_as_one_that_looks_when_it_is_woken():
    go_on, done = threading.Event(), threading.Semaphore(0)

    def work(blocks):
        if blocks:
            go_on.wait(PATIENCE_S)
        done.release()

    before = set(threading.enumerate())
    pool = ThreadPool(5, work, "test")
    pool.add(False)
    assert done.acquire(timeout=PATIENCE_S)
    wait_until(lambda: pool._asleep, "thread that sleeps", PATIENCE_S)
    for _number in range(5):
        pool.add(True)
    assert len(set(threading.enumerate()) - before) == 2
    go_on.set()
    pool.close()


def test_in_the_place_of_one_that_waits_one_other_looks_for_work():
    go_on, waits = threading.Event(), threading.Semaphore(0)

    def work(blocks):
        if blocks:
            pool.waits()
            waits.release()
        go_on.wait(PATIENCE_S)

    before = set(threading.enumerate())
    pool = ThreadPool(9, work, "test")
    pool.add(True)
    assert waits.acquire(timeout=PATIENCE_S)
    for _number in range(5):
        pool.add(False)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 3
    assert all(thread.daemon for thread in threads), "they end with the process"
    pool.close()
    go_on.set()
