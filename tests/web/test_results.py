"""Results of other threads, for requests that wait without a thread."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from callboard.actors.messages import NoAnswer
from callboard.web.operations.actor_requests import Results, replied


def running(talk):
    return asyncio.run(asyncio.wait_for(talk(), 30))


class Silent:
    """Of web/backend.py: actors never answer."""

    def question(self, _path, _message, _kind):
        return Future()


def test_an_actor_has_five_seconds_if_its_caller_does_not_say_how_many(monkeypatch):
    async def wait_for(_awaited, timeout_s):
        raise TimeoutError

    async def talk():
        monkeypatch.setattr(asyncio, "wait_for", wait_for)
        for limit, seconds in (((), "5"), ((0.5,), "0.5")):
            with pytest.raises(NoAnswer, match=f"^metrics did not answer within {seconds} s$"):
                await replied(Silent(), "metrics", "a question", str, *limit)

    asyncio.run(talk())


def test_results_of_one_moment_wake_the_loop_once(monkeypatch):
    async def talk():
        results, futures, woken = Results(30), [Future() for _ in range(50)], []
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda *a, **k: (woken.append(a), wake(*a, **k))
        )
        waiting = [asyncio.ensure_future(results.of(future)) for future in futures]
        await asyncio.sleep(0)

        def settle():
            for number, future in enumerate(futures):
                future.set_result(number)

        thread = threading.Thread(target=settle)
        thread.start()
        thread.join()  # The loop does not run meanwhile.
        assert await asyncio.gather(*waiting) == list(range(50))
        return len(woken)

    assert running(talk) == 1


def test_none_is_lost_between_two_threads():
    async def talk():
        results, futures = Results(30), [Future() for _ in range(5_000)]

        def settle():
            for number, future in enumerate(futures):
                future.set_result(number)

        waiting = [asyncio.ensure_future(results.of(future)) for future in futures]
        await asyncio.sleep(0)
        threading.Thread(target=settle).start()
        assert await asyncio.gather(*waiting) == list(range(5_000))

    running(talk)


def test_each_waits_no_longer_than_its_own_limit():
    async def talk():
        results, loop = Results(0.2), asyncio.get_running_loop()
        silent, answered, late = Future(), Future(), Future()
        began = loop.time()
        first = asyncio.ensure_future(results.of(silent))
        second = asyncio.ensure_future(results.of(answered))
        await asyncio.sleep(0.1)
        third = asyncio.ensure_future(results.of(late))
        answered.set_result("yes")
        assert await second == "yes"
        with pytest.raises(TimeoutError):
            await first
        assert loop.time() - began > 0.19
        assert not third.done()
        with pytest.raises(TimeoutError):
            await third
        assert loop.time() - began > 0.29
        assert silent.cancelled()
        assert late.cancelled()
        again = asyncio.ensure_future(results.of(Future()))
        with pytest.raises(TimeoutError):
            await again

    running(talk)


def test_a_request_after_one_that_was_answered_has_a_limit_too():
    async def talk():
        results, answered = Results(0.05), Future()
        answered.set_result("yes")
        assert await results.of(answered) == "yes"
        with pytest.raises(TimeoutError):
            await results.of(Future())

    running(talk)


def test_errors_are_raised_and_who_stops_waiting_cancels():
    async def talk():
        results, refused, left = Results(30), Future(), Future()
        refused.set_exception(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await results.of(refused)
        gone = asyncio.ensure_future(results.of(left))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert left.cancelled()

    running(talk)
