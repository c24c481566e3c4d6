import threading

from callboard.actors.base.thread_pool import LOOKING, Crew

PATIENCE_S = 10


def test_all_threads_work_while_each_waits():
    threads = LOOKING + 3
    all_here = threading.Barrier(threads + 1)

    def wait(_work):
        crew.waits()
        all_here.wait(PATIENCE_S)

    crew = Crew(threads, wait, "test")
    for round in range(2):
        for number in range(threads):
            crew.add((round, number))
        all_here.wait(PATIENCE_S)
    assert not len(crew)


def test_no_more_threads_are_awake_than_look_for_work():
    go_on, done, awake = threading.Event(), threading.Semaphore(0), set()

    def work(_work):
        awake.add(threading.current_thread().name)
        go_on.wait(PATIENCE_S)
        done.release()

    crew = Crew(LOOKING + 3, work, "test")
    for number in range(20):
        crew.add(number)
    go_on.set()
    assert all(done.acquire(timeout=PATIENCE_S) for _ in range(20))
    assert len(awake) <= LOOKING


def test_threads_end_when_they_are_done_and_begin_nothing_more():
    begun, go_on, done = threading.Semaphore(0), threading.Event(), []

    def work(number):
        crew.waits()
        begun.release()
        go_on.wait(PATIENCE_S)
        done.append(number)

    before = set(threading.enumerate())
    crew = Crew(LOOKING + 1, work, "test")
    threads = set(threading.enumerate()) - before
    for number in range(LOOKING + 3):
        crew.add(number)
    assert all(begun.acquire(timeout=PATIENCE_S) for _ in threads)
    crew.close()
    assert not len(crew)
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert sorted(done) == list(range(LOOKING + 1))


def test_one_that_waits_and_is_back_looks_for_work_again():
    back, done = threading.Event(), threading.Semaphore(0)

    def work(waits):
        if waits:
            crew.waits()
            back.wait(PATIENCE_S)
        done.release()

    crew = Crew(1, work, "test")
    for waits in (True, False, True, False):
        crew.add(waits)
    assert not done.acquire(blocking=False)
    back.set()
    assert all(done.acquire(timeout=PATIENCE_S) for _ in range(4))
