"""Signed deliveries as a receiver gets them, and the commands that manage the secrets."""

import base64
import json
import re
import signal
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from callboard.adapters.receiver.server import Answer, Hang
from callboard.adapters.store import stores
from callboard.webhooks.deliveries.signing import ED25519, new_secret
from support.attempts import recorded_attempts
from support.cluster import prepared
from support.patience import patient
from support.running import ACCOUNT, call_event
from support.stores import BOTH, urls

pytestmark = pytest.mark.multiprocess


def command(system, *arguments, **more):
    """Output of `hooks secret …`, which must succeed."""
    done = system.run("hooks", "secret", *arguments, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def new(system, hook, *options):
    return json.loads(command(system, "new", hook, "--json", *options))


def listed(system, hook):
    return json.loads(command(system, "list", hook, "--json"))


def by_path(requests):
    return {request.path: request for request in requests}


def fingerprints(system, hook):
    return [secret["fingerprint"] for secret in listed(system, hook)]


def verifies(secret, request):
    try:
        Webhook(secret).verify(request.body, dict(request.headers), json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def ed25519_verifies(public_key, request):
    headers = request.headers
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key[len("whpk_") :]))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    try:
        public.verify(base64.b64decode(signature), content)
    except InvalidSignature:
        return False
    return True


def attempts(system):
    store = stores.connect(system.settings.couchdb.url, system.settings.data.dir)
    documents = recorded_attempts(store, ACCOUNT)
    store.close()
    return documents


@pytest.fixture(params=BOTH)
def system(request, start, tmp_path):
    settings = urls(request)
    if settings:
        prepared(settings["couchdb__url"], tmp_path).close()
    return start(log__level="debug", **settings)


def test_receivers_verify_what_is_sent(system, receiver):
    hooks = {
        path: system.add_hook(f"{receiver.url}/{path}", format="json", **fields)
        for path, fields in {
            "unsigned": {},
            "signed": {},
            "rotating": {},
            "pair": {},
            "get": {"http_verb": "get"},
        }.items()
    }
    signed = new(system, hooks["signed"])["secret"]
    old, young = (new(system, hooks["rotating"])["secret"] for _ in range(2))
    public = new(system, hooks["pair"], "--ed25519")["public_key"]
    get = new(system, hooks["get"])["secret"]
    system.publish([call_event(1)])
    got = by_path(receiver.wait_for(5))

    added = set(got["/signed"].headers) - set(got["/unsigned"].headers)
    assert added == {"webhook-timestamp", "webhook-signature"}
    assert "webhook-id" in got["/unsigned"].headers
    assert verifies(signed, got["/signed"])
    assert not verifies(young, got["/signed"])
    assert verifies(old, got["/rotating"])
    assert verifies(young, got["/rotating"])
    assert got["/rotating"].headers["webhook-signature"].count("v1,") == 2
    assert ed25519_verifies(public, got["/pair"])
    assert got["/get"].body == b""
    assert verifies(get, got["/get"])

    command(system, "retire", hooks["rotating"], fingerprints(system, hooks["rotating"])[-1])
    system.publish([call_event(2)])
    rotated = [r for r in receiver.wait_for(10) if r.path == "/rotating"][-1]
    assert verifies(young, rotated)
    assert not verifies(old, rotated)

    everything = system.log.read_text() + "".join(
        path.read_bytes().decode("latin-1")
        for path in system.settings.data.dir.rglob("*")
        if path.is_file()
    )
    for secret in (signed, old, young, get):
        assert secret.removeprefix("whsec_") not in everything


def test_a_repeat_after_a_kill_has_the_same_id_and_a_timestamp_of_its_own(start, receiver):
    system = start()
    hook = system.add_hook(f"{receiver.url}/hook")
    secret = new(system, hook)["secret"]
    receiver.answer("/hook", Hang())
    system.publish([call_event(1)])
    [first] = receiver.wait_for(1)
    receiver.answer("/hook", Answer())
    system.wait(lambda: time.time() > int(first.headers["webhook-timestamp"]) + 1)
    for deliverer in ("deliverer-1", "deliverer-2"):
        system.kill(f"deliveries/{deliverer}")
    second = receiver.wait_for(2)[1]
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert second.body == first.body
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert verifies(secret, first)
    assert verifies(secret, second)


def test_attempts_keep_the_headers_of_their_try(start, receiver):
    system = start(delivery__request_timeout_ms=int(patient(300)))
    hook = system.add_hook(f"{receiver.url}/hang", retries=2)
    new(system, hook)
    system.publish([call_event(1)])
    sent = receiver.wait_for(2)
    system.wait(lambda: len(attempts(system)) == 2, what="both attempts")
    recorded = [attempt["req_headers"] for attempt in attempts(system)]
    for name in ("webhook-timestamp", "webhook-signature"):
        assert {r.headers[name] for r in sent} == {headers[name] for headers in recorded}
    assert len({headers["webhook-timestamp"] for headers in recorded}) == 2


def test_without_the_key_nothing_goes_out_unsigned_and_others_are_delivered(start, receiver):
    system = start(secrets__key=base64.b64encode(bytes(32)).decode())
    signed = system.add_hook(f"{receiver.url}/signed")
    system.add_hook(f"{receiver.url}/unsigned")
    new(system, signed)
    restart(system, secrets__key=base64.b64encode(b"1" * 32).decode())
    deliverers = [system.node(f"deliveries/deliverer-{n}").pid for n in (1, 2)]
    system.publish([call_event(n) for n in range(20)])
    assert {r.path for r in receiver.wait_for(20)} == {"/unsigned"}
    system.wait_settled(20)
    system.wait(lambda: len(attempts(system)) == 20, what="all attempts")
    for attempt in attempts(system):
        assert (attempt["hook_id"], attempt["result"]) == (signed, "failure")
        assert attempt["client_error"] == "refused: signature"
        assert "webhook-signature" not in attempt["req_headers"]
    assert re.search(r"refused: signature.*encrypted with the key [0-9a-f]{8}; ", system.tail())
    assert receiver.count == 20
    assert [system.node(f"deliveries/deliverer-{n}").pid for n in (1, 2)] == deliverers


def restart(system, **settings):
    """Stop it and start it with other settings."""
    system.process.send_signal(signal.SIGTERM)
    system.process.wait(timeout=patient(60))
    system.overrides |= {key.replace("__", "."): value for key, value in settings.items()}
    system.start()


def test_the_encryption_key_is_rotated(start, receiver):
    old, young = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    system = start(secrets__key=old)
    hooks = [system.add_hook(f"{receiver.url}/{n}") for n in range(3)]
    secrets = {f"/{n}": new(system, hook)["secret"] for n, hook in enumerate(hooks[:2])}
    restart(system, secrets__key=f"{young},{old}")
    assert "secrets of 2 hooks" in command(system, "reencrypt")
    assert "secrets of 0 hooks" in command(system, "reencrypt")
    restart(system, secrets__key=young)
    system.publish([call_event(1)])
    got = by_path(receiver.wait_for(3))
    assert all(verifies(secret, got[path]) for path, secret in secrets.items())
    restart(system, secrets__key=old)
    refused = system.run("hooks", "secret", "reencrypt")
    assert refused.returncode == 1
    assert all(f"hook {hook}: it was encrypted with" in refused.stderr for hook in hooks[:2])


def test_secrets_are_made_imported_listed_and_retired(start, receiver):
    system = start()
    hook = system.add_hook(f"{receiver.url}/a")
    assert "not signed" in command(system, "list", hook)
    shown = command(system, "new", hook)
    secret = re.search(r"whsec_\S+", shown)[0]
    assert "not shown again" in shown
    shown = command(system, "new", hook, "--ed25519")
    assert re.search(r"  whpk_\S{43}=\n", shown)
    assert "whsk_" not in shown
    given = new_secret()
    assert given.fingerprint in command(system, "import", hook, input=f"{given.text}\n")
    assert "3 signatures" in command(system, "import", hook, input=given.text)
    pair = new_secret(ED25519)
    facts = json.loads(command(system, "import", hook, "--json", input=pair.text))
    assert facts == {"hook_id": hook, "fingerprint": pair.fingerprint, "kind": "ed25519"}

    found = listed(system, hook)
    assert [s["kind"] for s in found] == ["ed25519", "hmac-sha256", "ed25519", "hmac-sha256"]
    assert [s["fingerprint"] for s in found[:2]] == [pair.fingerprint, given.fingerprint]
    assert found[0]["public_key"] == pair.public_text
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", s["since"]) for s in found)
    for text in (
        *(command(system, "list", hook), command(system, "list", hook, "--json")),
        system.run("hooks", "list", "--json").stdout,
    ):
        assert not re.search("whsec_|whsk_|encrypted|pvt_secrets", text)
        assert secret not in text

    command(system, "new", hook)
    refused = system.run("hooks", "secret", "new", hook)
    assert refused.returncode == 1
    assert "has 5 secrets already: retire one first" in refused.stderr
    for secret in listed(system, hook):
        last = command(system, "retire", hook, secret["fingerprint"])
    assert "not signed" in last
    assert listed(system, hook) == []

    command(system, "new", hook)
    assert "2 signatures" in command(system, "new", hook, "--expires-in", "7d")
    newest, older = (secret["until"] for secret in listed(system, hook))
    assert newest is None
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", older)


def test_bad_arguments_are_told_and_change_nothing(start, receiver):
    system = start()
    hook = system.add_hook(f"{receiver.url}/a")
    for arguments in (("new",), ("list",), ("import",), ("retire", "f")):
        name, *more = arguments
        refused = system.run("hooks", "secret", name, "0" * 32, *more, input=new_secret().text)
        assert (refused.returncode, "there is no hook" in refused.stderr) == (1, True)
    unknown = system.run("hooks", "secret", "retire", hook, "f")
    assert (unknown.returncode, "it has none" in unknown.stderr) == (1, True)
    for text, says in {
        "": "neither whsec_ nor whsk_",
        "whsec_aHVudGVyMg==": "7 bytes behind whsec_: 24 to 64",
        "whsec_hunter2!": "not base64",
        "whsec_\x00\x01": "not base64",
        "whpk_" + "A" * 43 + "=": "is a public key",
    }.items():
        refused = system.run("hooks", "secret", "import", hook, input=text)
        assert refused.returncode == 2
        assert says in refused.stderr
        assert "hunter2" not in refused.stderr
    assert system.run("hooks", "secret", "retire", hook).returncode == 2
    assert system.run("hooks", "secret", "new").returncode == 2
    assert listed(system, hook) == []


def test_a_key_file_that_cannot_be_used_refuses_new_secrets(start, receiver):
    system = start()
    hook = system.add_hook(f"{receiver.url}/a")
    file = system.settings.secrets_key_file
    file.write_text("no key\n")
    file.chmod(0o600)
    refused = system.run("hooks", "secret", "new", hook)
    assert refused.returncode == 1
    assert f"key number 1 of {file} is not 32 bytes in base64" in refused.stderr
    assert listed(system, hook) == []
    file.unlink()
    new(system, hook)
    assert file.stat().st_mode & 0o777 == 0o600
