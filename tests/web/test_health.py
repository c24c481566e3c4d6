"""What a load balancer and Prometheus read."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from callboard.actors.messages import GetHealth, GetMetrics, Health, MetricsText, NoAnswer
from callboard.adapters.repositories.tokens import add_token
from callboard.supervision import GetTree
from support.api import ADMIN, CHILD, Api, whole_system
from support.metrics import SINCE_TEXT, unready
from support.patience import patient

SCRAPER = "prometheus-of-the-tests"
TEXT = MetricsText("callboard_events_total 3\n", "text/plain; version=0.0.4; charset=utf-8")


@pytest.fixture
def scraped(tmp_path):
    api = Api(tmp_path / "scraped", metrics_token=SCRAPER)
    api.backend.answers[GetMetrics] = TEXT
    yield api
    api.store.close()


@pytest.fixture
def hurried(tmp_path):
    api = Api(tmp_path / "hurried", ready_s=0.05)
    yield api
    api.store.close()


def test_readiness_is_what_the_system_says_of_itself(api):
    api.backend.answers[GetHealth] = Health()
    ready = api.call("GET", "/readyz", token=None)
    assert (ready.status_code, ready.json()) == (
        200,
        {"ready": True, "problems": [], "details": [], "degraded": []},
    )

    api.backend.answers[GetHealth] = unready("the broker is down")
    answer = api.call("GET", "/readyz", token=None)
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "problems": ["the broker is down"],
        "details": [{"kind": "broker", "what": "the broker is down", "since": SINCE_TEXT}],
        "degraded": [],
    }


def test_a_system_that_does_not_answer_is_not_ready(api):
    api.backend.answers[GetHealth] = NoAnswer("metrics is down")
    unready = api.call("GET", "/readyz", token=None)
    assert (unready.status_code, unready.json()["problems"]) == (503, ["metrics is down"])
    assert unready.json()["details"][0]["kind"] == "report"


def test_a_system_that_is_silent_is_not_ready(hurried):
    silent = hurried.backend.answers[GetHealth] = Future()
    unready = hurried.call("GET", "/readyz", token=None)
    assert unready.status_code == 503
    assert unready.json()["problems"] == ["metrics did not answer within 0.05 s"]
    assert silent.cancelled()


def test_readiness_is_told_while_all_threads_wait(api):
    """As they do for a store that does not answer."""
    go_on, waiting = threading.Event(), threading.Semaphore(0)

    def wait(_question):
        waiting.release()
        assert go_on.wait(30)
        return whole_system()[GetTree]

    api.backend.answers |= {GetTree: wait, GetHealth: Health(), GetMetrics: TEXT}
    with ThreadPoolExecutor(16) as clients:
        for _ in range(16):
            clients.submit(api.call, "GET", "/v2/callboard/tree")
        try:
            for _ in range(12):
                assert waiting.acquire(timeout=patient(30))
            with ThreadPoolExecutor(1) as another:
                for path in ("/readyz", "/metrics"):
                    answer = another.submit(api.call, "GET", path)
                    assert answer.result(patient(10)).status_code == 200
        finally:
            go_on.set()


@pytest.mark.parametrize("token", [SCRAPER, ADMIN])
def test_metrics_are_served_as_prometheus_wants_them(scraped, token):
    headers = {"Authorization": f"Bearer {token}"}
    answer = scraped.call("GET", "/metrics", token=None, headers=headers)
    assert answer.status_code == 200
    assert answer.text == TEXT.text
    assert answer.headers["content-type"] == TEXT.content_type


def test_metrics_are_not_for_everybody(scraped, api):
    of_an_account = add_token(scraped.store, CHILD, "", 0).text
    assert scraped.call("GET", "/metrics", token=None).status_code == 401
    assert scraped.call("GET", "/metrics", token="another-token-of-16").status_code == 401
    assert scraped.call("GET", "/metrics", token=of_an_account).status_code == 403
    api.backend.answers[GetMetrics] = TEXT
    assert api.call("GET", "/metrics", token="").status_code == 401
    assert api.call("GET", "/metrics").status_code == 200


def test_an_address_with_wrong_tokens_waits_whatever_it_says(scraped):
    guesses = [f"{SCRAPER[:8]}-{n}" for n in range(6)]
    statuses = [scraped.call("GET", "/metrics", token=guess).status_code for guess in guesses]
    assert statuses == [401] * 5 + [429]
    assert scraped.call("GET", "/metrics", token=SCRAPER).status_code == 429
    assert scraped.call("GET", "/metrics", token=None).status_code == 401


def test_the_scrapers_token_opens_nothing_else(scraped):
    assert scraped.call("GET", f"/v2/accounts/{CHILD}/webhooks", token=SCRAPER).status_code == 401
