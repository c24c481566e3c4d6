"""The API before an embedded store, without a system behind it."""

import asyncio
import base64
import queue
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import httpx

from callboard import admin
from callboard.actors.api.backend import node_facts
from callboard.actors.api.connections import Connections
from callboard.actors.api.thread import ApiThread
from callboard.actors.delivery.transports import check_hook
from callboard.actors.messages import (
    AddSecret,
    CancelDeliveries,
    GetFigures,
    GetHealth,
    HookProblem,
    HookProblems,
    HookQueues,
    HookSaved,
    HookSecrets,
    ListHookProblems,
    ListHookQueues,
    ListSecrets,
    NoAnswer,
    Published,
    ReencryptSecrets,
    RetireSecret,
    SecretsReencrypted,
)
from callboard.adapters.keys.secret_box import SecretBox
from callboard.adapters.portal.links import PortalLinks
from callboard.adapters.repositories.account_quotas import endpoint_config
from callboard.adapters.repositories.dead_letters import DeadLetterStore
from callboard.adapters.store.embedded import EmbeddedStore
from callboard.adapters.store.views import ACCOUNTS, ALL, WEBHOOKS
from callboard.config.settings import ApiSettings, DeliverySettings, Settings
from callboard.supervision import GetTree, TreeNode
from callboard.web.app import ApiOptions, create_app
from callboard.webhooks.history.dead_letters import TYPE
from callboard.webhooks.hooks.secrets import StoredSecret
from callboard.webhooks.metrics.snapshot import EndpointSeen, Percentiles, Series, Snapshot
from support.metrics import unready
from support.patience import patient

ADMIN = "admin-token-of-the-tests"
WITH_EVENTS = Settings(api=ApiSettings(events=True))
PARENT = "1111111111111111111111111111aaaa"
CHILD = "2222222222222222222222222222bbbb"
OTHER = "3333333333333333333333333333cccc"


def problems(answer):
    """What a request with wrong members was refused for, by the member's path."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert (body["status"], body["error"], body["message"]) == ("error", "400", "validation error")
    return body["data"]


class StubBackend:
    """A real store, and stubs for actors that return the responses that the test defines.

    `answers`: by class of the request, the response, an exception, a future, or a function of the
    request. `limits_s`: by class of the request, the time that its actor had last.
    """

    def __init__(self, store, settings=None):
        self.settings = settings or Settings(delivery=DeliverySettings())
        self.node = node_facts(self.settings)
        self.store = store
        self.links = PortalLinks(SecretBox(base64.b64encode(b"k" * 32).decode(), Path("/")), store)
        self.admin_token = ADMIN
        self.told = []
        self.asked = []
        self.answers = {}
        self.limits_s = {}
        self.doubts = {}
        self.published = []
        self.unroutable = 0
        self.broker = None
        self.why_posts_are_refused = ""
        self.reported = []

    def check_hook(self, hook):
        account = endpoint_config(self.store, hook.account_id, self.node.grants)
        check_hook(hook, self.settings, account)

    def doubt(self, uri, _rules):
        return self.doubts.get(uri)

    def changed(self, changes):
        self.told += changes

    def hook_saved(self, change):
        self.changed([change])

    def question(self, path, message, kind):
        self.asked.append((path, message))
        future = Future()
        answer = self.answers.get(type(message), NoAnswer(f"{path} is down"))
        if isinstance(answer, Future):
            return answer
        if callable(answer):
            answer = answer(message)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            assert isinstance(answer, kind)
            future.set_result(answer)
        return future

    def ask(self, path, message, kind, timeout_s=5.0):
        self.limits_s[type(message)] = timeout_s
        return self.question(path, message, kind).result(patient(timeout_s))

    def publish(self, messages):
        future = Future()
        if isinstance(self.broker, Exception):
            future.set_exception(self.broker)
        elif self.broker == "silent":
            return future
        else:
            self.published += messages
            future.set_result(Published(len(messages), self.unroutable))
        return future

    def report(self, events):
        self.reported += events

    def posts_refused(self):
        return self.why_posts_are_refused

    def stats(self):
        return {"uptime_s": 1.0}


class InOneThread(httpx.BaseTransport):
    """Sends requests to an application, each in an event loop of this thread.

    Starlette's client starts a thread for each, which takes ten times as long as the request.
    """

    def __init__(self, app, client):
        self.transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)

    def handle_request(self, request):
        return asyncio.run(self._answer(request))

    async def _answer(self, request):
        answer = await self.transport.handle_async_request(request)
        body = httpx.ByteStream(await answer.aread())
        return httpx.Response(answer.status_code, headers=answer.headers, stream=body)


def client_of(app, address="testclient"):
    """A client of the application, which sees it at this address."""
    transport = InOneThread(app, (address, 50000))
    return httpx.Client(transport=transport, base_url="http://testserver", follow_redirects=True)


class Api:
    """A client of the API: `call("GET", "/v2/…", token=…)`. `place`: a store, or a folder."""

    def __init__(self, place, settings=None, **options):
        if isinstance(place, Path):
            place = EmbeddedStore(place / "store.sqlite3", views=ALL)
        self.backend = StubBackend(place, settings)
        self.store = place
        self.app = create_app(self.backend, ApiOptions(**options))
        self.client = client_of(self.app)
        self.store.ensure_database("accounts")
        self.store.ensure_views("accounts", ACCOUNTS)
        self.store.ensure_database("webhooks")
        self.store.ensure_views("webhooks", WEBHOOKS)
        for id, tree in ((PARENT, []), (CHILD, [PARENT]), (OTHER, [])):
            self.store.save("accounts", {"_id": id, "pvt_type": "account", "pvt_tree": tree})

    def call(self, method, path, data=None, *, token=ADMIN, headers=None, **options):
        headers = {"X-Auth-Token": token} | (headers or {}) if token else headers
        body = {"json": {"data": data}} if data is not None else {}
        answer = self.client.request(method, path, headers=headers, **body, **options)
        if answer.status_code >= 400 and method != "HEAD":
            check_error(answer)
        return answer

    def data(self, *arguments, **options):
        answer = self.call(*arguments, **options)
        assert answer.json()["status"] == "success", answer.text
        return answer.json()["data"]

    def add_hook(self, account=PARENT, **fields):
        hook = {"name": "n", "uri": "https://hooks.example.com/a", "hook": "channel_create"}
        return self.data("PUT", f"/v2/accounts/{account}/webhooks", hook | fields)

    def add_letter(self, id, account=PARENT, created=100, **fields):
        letter = {"kind": "delivery", "reason": "bad response code", "hook_id": "h", "body": "{}"}
        owner = {} if account is None else {"pvt_account_id": account}
        document = {"_id": id, "pvt_type": TYPE, "pvt_created": created, **letter, **owner}
        DeadLetterStore(self.store).add([document | fields])
        return id


def check_error(answer):
    """Crossbar's envelope of an error: `data` is a message, or messages by member and rule.

    Of an unknown sample, as in Kazoo, it is a list with the id.
    """
    if not answer.headers["content-type"].startswith("application/json"):
        return
    whole = answer.json()
    if "status" not in whole:  # of /ready
        return
    assert (whole["status"], whole["error"]) == ("error", str(answer.status_code)), whole
    assert whole["message"], whole
    data = whole["data"]
    if not data or isinstance(data, list) or isinstance(data.get("message"), str):
        return
    for rules in data.values():
        for facts in rules.values():
            assert isinstance(facts.get("message"), str), data


@contextmanager
def served(api):
    """Serves the API at a free port of this machine meanwhile, as `api.url`; it is called there."""
    ports, ended = queue.Queue(), queue.Queue()
    connections = Connections(64)
    server = ApiThread("127.0.0.1", 0, lambda: api.app, ports.put, ended.put, connections)
    server.start()
    api.url = f"http://127.0.0.1:{ports.get(timeout=patient(20))}"
    with httpx.Client(base_url=api.url) as api.client:
        yield api
    server.stop()
    assert ended.get(timeout=patient(20)) is None


FINGERPRINT = "0123456789ab"
OPEN = "https://a.example"
"""An endpoint whose circuit is open."""


def whole_system():
    """What the actors of a system that is well would answer."""
    secrets = HookSecrets("h", (StoredSecret(FINGERPRINT, "hmac-sha256", 1, "x"),))
    none = Percentiles()
    about = "running", 1, 2.0, 0, {}
    deliverers = tuple(
        TreeNode(name, f"deliveries/{name}", "Deliverer", "", *about)
        for name in ("deliverer-1", "deliverer-2")
    )
    deliveries = TreeNode("deliveries", "deliveries", "Supervisor", "", *about, deliverers)
    tree = TreeNode("callboard", "", "WebhooksSupervisor", "", *about, (deliveries,))
    endpoint = EndpointSeen(OPEN, 1, 2, "open", 3, "timeout", 40)
    figures = Snapshot(
        1.0, 0.0, 10.0, {"events": 7}, {}, {}, {}, {}, {}, none, none, (endpoint,), {},
        Series(2.0, (), {}, {}, {}, {}),
    )  # fmt: skip
    tested = admin.HookTested("h", "POST", "https://a.example/", (), "{}", 200, succeeded=True)
    enabled = admin.HooksEnabled(())
    return {
        GetTree: tree,
        GetHealth: unready("api is restarting"),
        GetFigures: figures,
        ListHookProblems: HookProblems((HookProblem(PARENT, "h", "no uri"),), False),
        ListSecrets: secrets,
        AddSecret: secrets,
        CancelDeliveries: HookSaved({"_id": "h"}),
        RetireSecret: HookSecrets("h", ()),
        ReencryptSecrets: SecretsReencrypted(3, (), None),
        admin.EnableAccountHooks: enabled,
        admin.EnableDescendantHooks: enabled,
        admin.HooksConfigured: admin.ConfiguredHooks(()),
        admin.FailureStatus: admin.FailingHooks((admin.FailingHook(PARENT, "h", 2),), ("a", "b")),
        admin.SetFailureExpiry: admin.SettingSaved("k", 1),
        admin.SetDisableThreshold: admin.SettingSaved("k", 1),
        admin.FlushAccountFailures: admin.FailuresFlushed(1),
        admin.FlushHookFailures: admin.FailuresFlushed(1),
        admin.RegisterViews: admin.ViewsRegistered(()),
        admin.ResetHookDefinitions: admin.DefinitionsReset(()),
        admin.ResetHookDefinition: admin.DefinitionsReset(()),
        admin.CleanUpOrphans: admin.OrphansCleanedUp(()),
        admin.RetryDeadLetters: lambda request: admin.DeadLettersRetried(request.ids),
        admin.PurgeDeadLetters: lambda request: admin.DeadLettersPurged(request.ids),
        admin.ListAttempts: admin.AttemptsListed(()),
        admin.ReplayAttempts: lambda request: admin.AttemptsReplayed(request.ids),
        admin.ListWaiting: admin.WaitingListed(()),
        ListHookQueues: HookQueues(()),
        admin.RetryWaiting: admin.WaitingRetried(()),
        admin.TestHook: tested,
        admin.CloseCircuit: lambda request: admin.CircuitClosed(request.endpoint == OPEN),
    }
