"""Slots are given to clients in turn, each of which has its own limit."""

import asyncio
import threading
from functools import partial

import httpx
import pytest

from callboard.adapters.repositories.tokens import add_token
from callboard.config.settings import QuotaSettings, Settings
from callboard.web.access.fair_slots import FairSlots, TooManyWait
from support.api import OTHER, Api
from support.patience import patient
from support.stores import Meddled


class Line:
    """Clients that wait for slots; `begun` names those that have one, in order."""

    def __init__(self, total, most):
        self.slots, self.most, self.begun = FairSlots(total), most, []

    def ask(self, client):
        async def wait():
            await self.slots.take(client, self.most)
            self.begun.append(client)

        return asyncio.create_task(wait())

    async def settled(self):
        for _ in range(5):
            await asyncio.sleep(0)
        return "".join(self.begun)


def test_one_client_takes_no_more_than_its_own():
    async def run():
        line = Line(total=4, most=2)
        tasks = [line.ask(client) for client in "aaaaab"]
        assert await line.settled() == "aab"
        assert line.slots.at_limit("a")
        assert not line.slots.at_limit("b")
        line.slots.give_back("a")
        assert await line.settled() == "aaba"
        for task in tasks:
            task.cancel()

    asyncio.run(run())


def test_those_that_wait_take_turns():
    async def run():
        line = Line(total=1, most=1)
        tasks = [line.ask(client) for client in "xaaaabbc"]
        assert await line.settled() == "x"
        for holder in "xabcabaa":
            line.slots.give_back(holder)
            await line.settled()
        assert "".join(line.begun) == "xabcabaa"
        await asyncio.gather(*tasks)
        assert not len(line.slots)
        assert line.slots.take_now("z", 1)

    asyncio.run(run())


def test_a_client_at_its_limit_keeps_nobody_waiting():
    async def run():
        line = Line(total=2, most=1)
        tasks = [line.ask(client) for client in "aaab"]
        assert await line.settled() == "ab"
        line.slots.give_back("b")
        tasks.append(line.ask("c"))
        assert await line.settled() == "abc"
        for task in tasks:
            task.cancel()

    asyncio.run(run())


def test_the_line_of_a_client_is_bounded():
    async def run():
        line = Line(total=1, most=1)
        tasks = [line.ask("a") for _ in range(65)]
        await line.settled()
        assert line.slots.waiting == 64
        with pytest.raises(TooManyWait):
            await asyncio.wait_for(line.slots.take("a", 1), patient(5))
        other = line.ask("b")
        await line.settled()
        assert not other.done(), "another client may wait"
        for task in (*tasks, other):
            task.cancel()

    asyncio.run(run())


@pytest.mark.parametrize("granted", [False, True])
def test_who_stops_waiting_keeps_no_slot(granted):
    async def run():
        line = Line(total=1, most=1)
        await line.slots.take("a", 1)
        waiting = line.ask("b")
        await line.settled()
        if granted:
            line.slots.give_back("a")  # The turn comes, and the task ends before it runs.
        waiting.cancel()
        await line.settled()
        if not granted:
            line.slots.give_back("a")
        assert not len(line.slots)
        assert line.slots.take_now("c", 1)

    asyncio.run(run())


def test_a_client_is_remembered_while_it_has_a_slot_or_waits_and_no_longer():
    async def run():
        slots = FairSlots(4)
        assert slots.take_now("a", 3)
        assert slots.take_now("a", 3)
        slots.give_back("a")
        assert not slots.at_limit("a"), "it may have three"
        line = Line(total=1, most=3)
        line.slots.take_now("x", 1)
        waits = [line.ask("b"), line.ask("b")]
        await line.settled()
        waits[0].cancel()
        await line.settled()
        line.slots.give_back("x")
        await line.settled()
        assert not line.slots.at_limit("b"), "it may have three"
        slots.give_back("a")
        line.slots.give_back("b")
        for each in (slots, line.slots):
            assert not any(held for held in vars(each).values() if isinstance(held, dict))

    asyncio.run(run())


def test_a_request_waits_while_its_account_has_all_of_its_slots(tmp_path):
    api = Api(tmp_path, Settings(quotas=QuotaSettings(requests=1)))
    token = {"X-Auth-Token": add_token(api.store, OTHER, "shop", 0).text}
    hooks = f"/v2/accounts/{OTHER}/webhooks"
    entered, go_on = threading.Event(), threading.Event()

    def hold(*_arguments):
        entered.set()
        assert go_on.wait(patient(10))

    async def run():
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            get = partial(client.get, headers=token)
            assert (await get(hooks)).status_code == 200
            api.backend.store = Meddled(api.store, view=hold)
            first = asyncio.create_task(get(hooks))
            assert await asyncio.to_thread(entered.wait, patient(10))
            second = asyncio.create_task(get(hooks))
            assert (await asyncio.wait({second}, timeout=0.1))[0] == set()
            go_on.set()
            assert [(await each).status_code for each in (first, second)] == [200, 200]

    asyncio.run(run())
