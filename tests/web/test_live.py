"""The stream that the dashboard follows."""

import asyncio
import json
import queue
import time
from concurrent.futures import Future
from itertools import islice

import pytest
import requests
from attrs import evolve
from structlog.testing import capture_logs

from callboard.actors.api.connections import Connections
from callboard.actors.api.thread import ApiThread
from callboard.actors.messages import GetFigures, GetHealth, Health, NoAnswer
from callboard.adapters.repositories.tokens import add_token, revoke_token
from callboard.adapters.store.protocol import StoreUnavailable
from callboard.supervision import GetTree, TreeNode
from callboard.web.live.event_stream import EventStream
from callboard.web.live.live_view import history, tick
from callboard.web.live.sampler import Sampler
from callboard.webhooks.metrics.snapshot import EndpointSeen, Percentiles, Series, Snapshot
from support.api import ADMIN, PARENT, Api
from support.metrics import SINCE_TEXT, unready
from support.patience import patient

OTHER_ADMIN = "5555555555555555555555555555eeee"

TREE = TreeNode(
    "callboard", "", "WebhooksSupervisor", "", "running", 10, 1000.0, 0, {},
    (TreeNode("event_bridge", "event_bridge", "EventBridge", "", "running", 11, 1001.5, 3,
              {"broker": "up", "received": 7}),),
)  # fmt: skip


def snapshot(*times):
    steps = tuple(float(time) for time in times)
    return Snapshot(
        at_unix_s=steps[-1],
        counting_since_unix_s=0.0,
        window_s=60.0,
        totals={"events": 100},
        rates={"events": 9.0},
        levels={"in_flight": 2, "retry_queue": 5, "hooks": 4, "circuits_open": 1},
        attempts={},
        events={},
        retry_queue={},
        request_s=Percentiles(),
        latency_s=Percentiles(0.0125, 2.0012346, None),
        endpoints=(EndpointSeen("http://a.example:80", 0, 3, "open", 12, "timeout", 7),),
        restarts={},
        series=Series(
            2.0,
            steps,
            {"events": steps, "delivered": steps, "failed_attempts": tuple(0.0 for _ in steps)},
            {},
            {},
            {"p50": steps, "p90": steps, "p99": tuple(None for _ in steps)},
        ),
    )


PERIOD_S = 0.01


@pytest.fixture
def api(tmp_path):
    """With a dashboard for one page, which is sent samples as fast as can be."""
    api = Api(tmp_path, sample_s=PERIOD_S, live_pages=1)
    yield api
    api.store.close()


@pytest.fixture
def watched(api):
    """The API before a system that answers."""
    api.backend.answers = {
        GetTree: TREE,
        GetFigures: lambda _: snapshot(100, 102),
        GetHealth: Health(),
    }
    return api


@pytest.fixture
def account_token(api):
    return add_token(api.store, PARENT, "a page", time.time()).text


def parsed(frame):
    name, data = frame.decode().removesuffix("\n\n").split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def first(watcher, count):
    frames = []
    async for frame in watcher:
        frames.append(parsed(frame))
        if len(frames) == count:
            break
    return frames


def test_history_comes_first_and_then_ticks(watched):
    async def run():
        looks = Sampler(watched.backend, PERIOD_S)
        watcher = looks.watch()
        frames = await first(watcher, 3)
        looks.leave(watcher)
        return frames

    (name, history), (second, tick), (third, _) = asyncio.run(run())
    assert (name, second, third) == ("history", "tick", "tick")
    assert history == {
        "at": [100.0, 102.0],
        "events": [100.0, 102.0],
        "deliveries": [100.0, 102.0],
        "failures": [0.0, 0.0],
        "p50": [100_000.0, 102_000.0],
        "p90": [100_000.0, 102_000.0],
        "p99": [None, None],
    }
    assert tick["tree"]["children"][0] == {
        "id": "event_bridge",
        "path": "event_bridge",
        "actor": "EventBridge",
        "status": "running",
        "pid": 11,
        "started_at": 1001.5,
        "restarts": 3,
        "stats": {"broker": "up", "received": 7},
        "children": [],
    }
    assert tick["figures"] == {
        "events": 102.0,
        "deliveries": 102.0,
        "failures": 0.0,
        "p50": 12.5,
        "p90": 2001.235,
        "p99": None,
        "in_flight": 2,
        "waiting": 5,
        "hooks": 4,
        "circuits": 1,
    }
    assert tick["point"]["at"] == 102.0
    assert tick["endpoints"] == [
        {"endpoint": "http://a.example:80", "circuit": "open", "failures": 12, "in_flight": 0,
         "waiting": 3, "error": "timeout", "failing_s": 7}
    ]  # fmt: skip
    assert (tick["problems"], tick["node"]) == ([], watched.backend.node.name)
    asked = {(path, type(message)) for path, message in watched.backend.asked}
    assert asked == {("", GetTree), ("metrics", GetFigures), ("metrics", GetHealth)}


def test_what_cannot_be_learned_is_said_and_the_rest_is_shown(watched):
    watched.backend.answers[GetFigures] = NoAnswer("metrics is being restarted: try again")
    watched.backend.answers[GetHealth] = unready("the broker is down for event_bridge")

    async def run():
        looks = Sampler(watched.backend, PERIOD_S)
        watcher = looks.watch()
        [(_, tick)] = await first(watcher, 1)
        looks.leave(watcher)
        return tick

    tick = asyncio.run(run())
    assert tick["problems"] == [
        "metrics is being restarted: try again",
        f"the broker is down for event_bridge (since {SINCE_TEXT})",
    ]
    assert (tick["figures"], tick["point"], tick["endpoints"]) == (None, None, [])
    assert tick["tree"]["id"] == "callboard"


def test_what_a_node_without_figures_has_to_show(watched):
    """As in its first seconds; and one of an earlier version has fewer columns."""
    empty = Series(2.0, (), {}, {}, {}, {})
    young = evolve(snapshot(1), series=empty, latency_s=Percentiles(), levels={}, endpoints=())
    shown = tick(watched.backend.node, 1.5, None, young, ["why"])
    assert (shown["at"], shown["version"]) == (1.5, watched.backend.node.version)
    assert (shown["problems"], shown["tree"], shown["point"]) == (["why"], None, None)
    assert shown["figures"] == {
        **dict.fromkeys(("events", "deliveries", "failures", "p50", "p90", "p99")),
        **dict.fromkeys(("in_flight", "waiting", "hooks")),
        "circuits": 0,
    }
    columns = "events", "deliveries", "failures", "p50", "p90", "p99"
    assert history(young) == {"at": [], **{name: [] for name in columns}}
    few = evolve(young, series=evolve(empty, at_unix_s=(1.0,), latency_s={"p50": (0.00125,)}))
    assert tick(watched.backend.node, 1.5, None, few, ())["point"] == {
        "at": 1.0,
        **dict.fromkeys(columns),
        "p50": 1.25,
    }


def test_the_same_reason_is_said_once(watched):
    watched.backend.answers[GetFigures] = watched.backend.answers[GetHealth] = NoAnswer("away")

    async def run():
        [(_, tick)] = await first(Sampler(watched.backend, PERIOD_S).watch(), 1)
        return tick

    assert asyncio.run(run())["problems"] == ["away"]


@pytest.mark.parametrize("answers", ["with an error", "never"])
def test_health_that_is_not_answered_is_said_and_the_rest_is_shown(watched, answers):
    if answers == "never":
        watched.backend.answers[GetHealth] = Future()
        reason = "metrics does not answer"
    else:
        reason = "metrics is being restarted: try again"
        watched.backend.answers[GetHealth] = NoAnswer(reason)

    async def run():
        looks = Sampler(watched.backend, PERIOD_S, answer_s=0.2 if answers == "never" else 3.0)
        watcher = looks.watch()
        [_history, (_name, tick)] = await first(watcher, 2)
        looks.leave(watcher)
        return tick

    tick = asyncio.run(run())
    assert tick["problems"] == [reason]
    assert tick["figures"]["events"] == 102.0
    assert tick["tree"]["id"] == "callboard"


def test_many_pages_cost_one_look_and_no_page_none(watched):
    def looks_made():
        return sum(isinstance(message, GetTree) for _path, message in watched.backend.asked)

    async def run():
        looks = Sampler(watched.backend, PERIOD_S)
        watchers = [looks.watch() for _ in range(10)]
        await asyncio.gather(*(first(watcher, 3) for watcher in watchers))
        while_watched = looks_made()
        for watcher in watchers:
            looks.leave(watcher)
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0.01)
        assert await first(looks.watch(), 2)
        return while_watched

    assert asyncio.run(run()) <= 4


def test_a_page_that_comes_later_has_the_history_at_once(watched):
    async def run():
        looks = Sampler(watched.backend, PERIOD_S)
        await first(looks.watch(), 2)
        return await first(looks.watch(), 1)

    [(name, _)] = asyncio.run(run())
    assert name == "history"


def test_a_slow_reader_is_dropped_and_the_others_go_on(watched):
    async def run():
        looks = Sampler(watched.backend, PERIOD_S)
        slow, quick = looks.watch(), looks.watch()
        assert len(await first(quick, 30)) == 30
        return [frame async for frame in slow]

    with capture_logs() as logs:
        assert 0 < len(asyncio.run(run())) <= 8
    assert [log["event"] for log in logs] == ["live_reader_dropped"]


def test_actors_have_three_seconds_for_a_sample_each_second(watched, monkeypatch):
    answer_s, pause_s = [], []
    waiting, sleeping = asyncio.wait_for, asyncio.sleep

    def wait_for(awaited, timeout):
        answer_s.append(timeout)
        return waiting(awaited, timeout)

    def sleep(seconds):
        pause_s.append(seconds)
        return sleeping(0)

    async def run():
        monkeypatch.setattr(asyncio, "wait_for", wait_for)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        await first(Sampler(watched.backend).watch(), 3)

    asyncio.run(run())
    assert set(answer_s) == {3.0}
    assert 0.5 < pause_s[0] < 1.0


def test_there_are_so_many_pages_and_no_more(watched):
    async def run():
        looks = Sampler(watched.backend, PERIOD_S)
        watchers = [looks.watch() for _ in range(32)]
        assert None not in watchers
        refused = looks.watch()
        looks.leave(watchers[0])
        return refused, looks.watch()

    refused, later = asyncio.run(run())
    assert refused is None
    assert later is not None


def test_a_defect_ends_the_streams_so_that_the_pages_come_again(watched):
    watched.backend.answers[GetFigures] = ZeroDivisionError()

    async def run():
        looks = Sampler(watched.backend, PERIOD_S, most=1)
        watcher = looks.watch()
        assert [frame async for frame in watcher] == []
        watched.backend.answers[GetFigures] = snapshot(1)
        return await first(looks.watch(), 2)

    with capture_logs() as logs:
        assert len(asyncio.run(run())) == 2
    assert [(log["event"], log["log_level"]) for log in logs] == [("live_sampler_failed", "error")]


def test_a_host_gets_the_samplers_lines_under_our_name(watched, host_logs):
    watched.backend.answers[GetFigures] = ZeroDivisionError()

    async def run():
        return [frame async for frame in Sampler(watched.backend, PERIOD_S).watch()]

    assert asyncio.run(run()) == []
    assert ("callboard", "live_sampler_failed") in [
        (r.name, r.getMessage()) for r in host_logs.records
    ]


def test_at_the_end_of_the_server_its_streams_end_and_none_begins(watched):
    async def run():
        looks = Sampler(watched.backend, PERIOD_S)
        watcher = looks.watch()
        await first(watcher, 1)
        looks.close()
        return [frame async for frame in watcher], looks.watch()

    left, later = asyncio.run(run())
    assert len(left) < 8
    assert later is None


def test_a_reader_that_takes_nothing_is_left():
    closed = []

    async def endless():
        try:
            while True:
                yield b"event: tick\ndata: 1\n\n"
        finally:
            closed.append(True)

    async def stuck(message):
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def run():
        stream = EventStream(endless(), takes_s=0.05)
        await stream.stream_response(stuck)
        await stream.body_iterator.aclose()

    asyncio.run(asyncio.wait_for(run(), patient(5)))
    assert closed


def test_a_reader_has_ten_seconds_to_take_what_it_is_sent(monkeypatch):
    limits = []

    async def wait_for(awaited, timeout):
        limits.append(timeout)
        await awaited

    async def one():
        yield b"event: tick\ndata: 1\n\n"

    async def taken(_message):
        pass

    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    asyncio.run(EventStream(one()).stream_response(taken))
    assert limits == [10.0] * 3  # the head, the event and the end


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 401), ("account", 403)])
def test_only_the_admin_may_follow(watched, token, status, account_token):
    token = account_token if token == "account" else token
    answer = watched.call("GET", "/v2/callboard/live", token=token)
    assert answer.status_code == status


def test_it_is_served_until_the_reader_goes(watched):
    ports, ended = queue.Queue(), queue.Queue()
    server = ApiThread("127.0.0.1", 0, lambda: watched.app, ports.put, ended.put, Connections(64))
    server.start()
    url = f"http://127.0.0.1:{ports.get(timeout=patient(20))}/v2/callboard/live"

    def read():
        headers = {"X-Auth-Token": ADMIN}
        return requests.get(url, headers=headers, stream=True, timeout=patient(20))

    def served():
        with read() as answer:
            return answer.ok

    try:
        with read() as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            lines = answer.iter_lines()
            names = [line for line in islice(lines, 12) if line.startswith(b"event:")]
            assert not served(), "there is room for one"
        assert names[:3] == [b"event: history", b"event: tick", b"event: tick"]
        wait_until(served)
    finally:
        server.stop()
        assert ended.get(timeout=patient(20)) is None


def follow(api, token, frames, then):
    """Follow the stream by the app itself, and do something after some frames, until it ends."""
    sent = []
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive():
        return next(asked, None) or await asyncio.sleep(3600)

    async def send(message):
        sent.append(message)
        if len(sent) == 1 + frames:
            then()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v2/callboard/live",
        "raw_path": b"/v2/callboard/live",
        "query_string": b"",
        "headers": [(b"x-auth-token", token.encode())],
        "client": ("192.0.2.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    asyncio.run(asyncio.wait_for(api.app(scope, receive, send), patient(10)))
    return sent


@pytest.mark.parametrize("change", ["the token is revoked", "the account loses its rights"])
def test_it_ends_with_the_readers_right(watched, change):
    account = {"_id": OTHER_ADMIN, "pvt_type": "account", "pvt_superduper_admin": True}
    account["_rev"] = watched.store.save("accounts", account)
    made = add_token(watched.store, OTHER_ADMIN, "a page", time.time())

    def end():
        if change == "the token is revoked":
            revoke_token(watched.store, made.facts.id)
        else:
            watched.store.save("accounts", account | {"pvt_superduper_admin": False})

    sent = follow(watched, made.text, 3, end)
    assert sent[0]["status"] == 200
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert len(sent) == 1 + 3 + 1


def test_it_goes_on_while_the_store_is_away(watched):
    account = {"_id": OTHER_ADMIN, "pvt_type": "account", "pvt_superduper_admin": True}
    watched.store.save("accounts", account)
    made = add_token(watched.store, OTHER_ADMIN, "a page", time.time())
    real, frames = watched.backend.store, []

    class Away:
        def get(self, *_place):
            frames.append(1)
            if len(frames) == 3:
                watched.backend.store = real
                revoke_token(real, made.facts.id)
            raise StoreUnavailable("away")

    def leave():
        watched.backend.store = Away()

    sent = follow(watched, made.text, 2, leave)
    assert len(frames) == 3
    assert len(sent) == 1 + 2 + 3 + 1


def test_head_does_not_wait_for_its_end(watched):
    for _again in range(2):
        answer = watched.call("HEAD", "/v2/callboard/live")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


def wait_until(condition, timeout_s=10):
    end = time.monotonic() + patient(timeout_s)
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_whose_token_it_is(watched, account_token):
    assert watched.data("GET", "/v2/callboard/token") == {}
    assert watched.data("GET", "/v2/callboard/token", token=account_token) == {"account_id": PARENT}
    assert watched.call("GET", "/v2/callboard/token", token="wrong").status_code == 401


def test_one_page_too_many_is_asked_to_come_again(tmp_path):
    refused = Api(tmp_path, live_pages=0).call("GET", "/v2/callboard/live")
    assert (refused.status_code, refused.json()["message"]) == (503, "too_many_streams")
    assert refused.headers["retry-after"] == "10"
