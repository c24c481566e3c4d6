"""Clients that common generators make from the OpenAPI document compile and hold a session."""

import importlib
import importlib.util
import json
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from callboard.webhooks.deliveries.signing import HMAC_SHA256
from services import missing
from support.api import ADMIN, PARENT, WITH_EVENTS, Api, served, whole_system
from support.patience import patient

ROOT = Path(__file__).parents[2]
NODE_MODULES = ROOT / ".services" / "node_modules"
OPTIONS = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "target": "es2022",
    "module": "nodenext",
    "lib": ["es2022", "dom", "dom.iterable"],
    "types": [],
}
SESSION = ROOT / "tests" / "data" / "generated_clients" / "session.ts"


@pytest.fixture
def api(tmp_path):
    api = Api(tmp_path, WITH_EVENTS)
    api.backend.answers |= whole_system()
    with served(api):
        yield api
    api.store.close()


@pytest.fixture
def document(tmp_path, api):
    """The file of the document."""
    path = tmp_path / "openapi.json"
    path.write_text(api.client.get("/openapi.json").text)
    return path


def run(*arguments, folder):
    done = subprocess.run(
        [str(each) for each in arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patient(100),
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def modules_of(package):
    """All of its modules, imported."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return {each.name: importlib.import_module(each.name) for each in found}


def test_openapi_python_client(api, document, tmp_path, monkeypatch):
    if importlib.util.find_spec("openapi_python_client") is None:
        missing("openapi-python-client", "make venv")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"post_hooks": []}))
    name = "callboard_made_client"
    run(
        sys.executable, "-m", "openapi_python_client", "generate", "--path", document,
        "--output-path", tmp_path / name, "--meta", "none", "--config", config, "--fail-on-warning",
        folder=tmp_path,
    )  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module(name)
    modules = modules_of(made)
    operations = [op for ops in api.app.openapi()["paths"].values() for op in ops.values()]
    there = {each.rpartition(".")[2] for each in modules}
    assert {operation["operationId"] for operation in operations} <= there
    models = modules[f"{name}.models"]

    def call(operation, *arguments, token=ADMIN, **options):
        client = made.AuthenticatedClient(api.url, token)
        return modules[f"{name}.api.{operation}"].sync(*arguments, client=client, **options)

    hook = models.NewHook(
        name="orders", uri="https://hooks.example.com/py", hook="event", filter_="total > `100`"
    )
    id = call("hooks.create_hook", PARENT, body=models.CreateHookBody(hook)).data.id
    change = models.ChangeHookBody(models.HookChange(name="large orders"))
    before = call("hooks.show_hook", PARENT, id).data.to_dict()
    after = call("hooks.change_hook", PARENT, id, body=change).data.to_dict()
    assert (before["format"], before["retry_policy"]) == ("json", "standard")  # of the module
    assert after == before | {"name": "large orders"}
    stale = call("hooks.change_hook", PARENT, id, body=change, if_match='"1-old"')
    assert (type(stale), stale.error) == (models.Error, "412")
    wanted = models.Filters.from_dict({"filter_hook": "event"})
    page = call("hooks.list_hooks", PARENT, page_size=10, filter_=wanted)
    assert [(one.id, one.name) for one in page.data] == [(id, "large orders")]
    asked = models.PreviewHookBodyData.from_dict({"hook_id": id, "payload": {"total": 120}})
    assert call("hooks.preview_hook", PARENT, body=models.PreviewHookBody(asked)).data.sent
    kind = models.AddSecretBodyData(models.AddSecretBodyDataKind(HMAC_SHA256))
    secret = call("secrets.add_secret", PARENT, id, body=models.AddSecretBody(kind)).data
    assert secret.secret.startswith("whsec_")
    events = [
        models.PostedEvent("order.paid", models.PostedEventPayload.from_dict({"n": n}), PARENT)
        for n in range(2)
    ]
    assert len(call("posting.post_events", body=models.PostEventsBody(events)).data) == 2
    assert call("operator.show_tree").data.actor == "WebhooksSupervisor"
    assert call("hooks.delete_hook", PARENT, id).data.field_read_only.deleted is True
    assert call("operator.show_tree", token="wrong").error == "401"


def test_openapi_typescript(api, document, tmp_path):
    tools = [NODE_MODULES / ".bin" / tool for tool in ("openapi-typescript", "tsc")]
    if not (all(tool.exists() for tool in tools) and (NODE_MODULES / "openapi-fetch").exists()):
        missing("openapi-typescript", "make services")
    generator, compiler = tools
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "node_modules").symlink_to(NODE_MODULES.resolve())
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(SESSION, folder)
    run(generator, document, "--output", folder / "api.d.ts", folder=folder)
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS}))
    run(compiler, folder=folder)
    assert run("node", "session.js", api.url, ADMIN, PARENT, folder=folder) == "done\n"
