"""`callboard hooks secret`, of a system that answers as the actor of hooks does."""

import json

import pytest

from callboard.actors.messages import (
    AddSecret,
    HookSecrets,
    ListSecrets,
    ReencryptSecrets,
    RetireSecret,
    SecretsReencrypted,
)
from callboard.webhooks.deliveries.signing import ED25519, HMAC_SHA256, new_secret
from callboard.webhooks.hooks.secrets import StoredSecret

NOW_S = 1_795_514_400.0
NOW = 1_795_514_400 + 62_167_219_200
OLD = StoredSecret("f1", "hmac-sha256", NOW - 86_400, "encrypted", until=NOW + 3600)
PAIR = StoredSecret("f2", "ed25519", NOW, "encrypted", public_key="whpk_x")
ENDED = StoredSecret("f3", "hmac-sha256", NOW - 86_400, "encrypted", until=NOW)
STRANGE = StoredSecret("f4", "hmac-sha256", 10**30, "encrypted")
UNSIGNED = "the hook has no secret: its deliveries are not signed"
ONE = "Deliveries carry one signature."
TWO = "Deliveries carry 2 signatures: retire a secret that no receiver needs."


@pytest.fixture
def secret(running, monkeypatch):
    monkeypatch.setattr("callboard.cli.hooks.secrets.time", lambda: NOW_S)
    return lambda *arguments, **how: running.run("hooks", "secret", *arguments, **how)


def added(running):
    ((path, request),) = running.asked
    assert (path, type(request), request.hook_id) == ("hook_listener", AddSecret, "h")
    return request


def test_a_new_secret_is_printed_once(running, secret):
    running.answer(AddSecret, HookSecrets("h", (PAIR,)))
    ran = secret("new", "h")
    text = added(running).secret
    assert text.startswith("whsec_")
    said = ran.stdout.splitlines()
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert said[0].startswith("The secret of hook h, fingerprint ")
    assert said[1:] == [
        "",
        f"  {text}",
        "",
        "It is not shown again. Give it to the receiver, and store it nowhere else.",
        ONE,
    ]


def test_of_a_key_pair_the_public_key_is_printed(running, secret):
    running.answer(AddSecret, HookSecrets("h", (PAIR, OLD)))
    said = secret("new", "h", "--ed25519").stdout.splitlines()
    assert added(running).secret.startswith("whsk_")
    assert said[0].startswith("The public key of hook h, fingerprint ")
    assert said[2].startswith("  whpk_")
    assert said[4:] == ["Give it to the receiver; the private key stays here.", TWO]


@pytest.mark.parametrize(
    ("options", "kind", "name"),
    [((), HMAC_SHA256, "secret"), (("--ed25519",), ED25519, "public_key")],
)
def test_programs_get_a_new_secret_with_its_facts(running, secret, options, kind, name):
    running.answer(AddSecret, HookSecrets("h", (PAIR,)))
    shown = json.loads(secret("new", "h", "--json", *options).stdout)
    assert list(shown) == ["hook_id", "fingerprint", "kind", name]
    assert (shown["hook_id"], shown["kind"]) == ("h", kind)
    assert shown[name].startswith({"secret": "whsec_", "public_key": "whpk_"}[name])


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("1s", 1), ("5m", 300), ("24h", 86_400), ("366d", 31_622_400)],
)
def test_the_others_end_after_the_given_time(running, secret, written, seconds):
    running.answer(AddSecret, HookSecrets("h", (PAIR,)))
    assert secret("new", "h", "--expires-in", written).exit_code == 0
    assert added(running).others_end_in_s == seconds


def test_without_a_time_they_do_not_end(running, secret):
    running.answer(AddSecret, HookSecrets("h", (PAIR,)))
    secret("new", "h")
    assert added(running).others_end_in_s is None


def test_a_secret_that_the_receiver_has_is_read_from_the_input(running, secret):
    theirs = new_secret()
    running.answer(AddSecret, HookSecrets("h", (PAIR, ENDED)))
    ran = secret("import", "h", "--expires-in", "2m", input=f" {theirs.text}\n")
    assert ran.exit_code == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        f"added the secret with the fingerprint {theirs.fingerprint} to hook h",
        ONE,
    ]
    assert (added(running).secret, added(running).others_end_in_s) == (theirs.text, 120)
    running.answer(AddSecret, HookSecrets("h", (PAIR, ENDED)))
    shown = json.loads(secret("import", "h", "--json", input=theirs.text).stdout)
    facts = {"fingerprint": theirs.fingerprint, "kind": "hmac-sha256"}
    assert shown == {"hook_id": "h"} | facts


@pytest.mark.parametrize("text", ["", "sesame", "whsec_", b"whsec_\xff", "x" * 2000])
def test_what_is_no_secret_is_wrong_usage(running, secret, text):
    ran = secret("import", "h", input=text)
    assert (ran.exit_code, ran.stdout, running.asked) == (2, "", [])
    assert ran.stderr.startswith("error: ")
    assert "x" * 1001 not in ran.stderr


def test_they_are_listed_with_their_times(running, secret):
    running.answer(ListSecrets, *[HookSecrets("h", (PAIR, OLD, STRANGE))] * 2)
    assert [line.split() for line in secret("list", "h").stdout.splitlines()] == [
        ["fingerprint", "kind", "since", "public", "key", "until"],
        ["f2", "ed25519", "2026-11-24T10:00:00Z", "whpk_x"],
        ["f1", "hmac-sha256", "2026-11-23T10:00:00Z", "2026-11-24T11:00:00Z"],
        ["f4", "hmac-sha256"],
    ]
    pair, old, _strange = json.loads(secret("list", "h", "--json").stdout)
    assert pair == {
        "fingerprint": "f2",
        "kind": "ed25519",
        "since": "2026-11-24T10:00:00Z",
        "public_key": "whpk_x",
        "until": None,
    }
    assert (old["public_key"], old["until"]) == (None, "2026-11-24T11:00:00Z")
    assert running.asked == [("hook_listener", ListSecrets("h"))] * 2


def test_a_hook_without_a_secret_is_warned_of(running, secret):
    running.answer(ListSecrets, HookSecrets("h", ()))
    assert secret("list", "h").stdout.splitlines() == [UNSIGNED]


@pytest.mark.parametrize(
    ("left", "said"), [((ENDED,), UNSIGNED), ((OLD, ENDED), ONE), ((OLD, PAIR), TWO)]
)
def test_after_one_is_retired_the_others_sign(running, secret, left, said):
    running.answer(RetireSecret, HookSecrets("h", left))
    ran = secret("retire", "h", "f9")
    assert ran.stdout.splitlines() == [
        "retired the secret with the fingerprint f9 of hook h",
        said,
    ]
    assert running.asked == [("hook_listener", RetireSecret("h", "f9"))]
    running.answer(RetireSecret, HookSecrets("h", left))
    shown = json.loads(secret("retire", "h", "f9", "--json").stdout)
    assert [one["fingerprint"] for one in shown] == [one.fingerprint for one in left]


def test_all_are_encrypted_again_page_by_page(running, secret):
    pages = (SecretsReencrypted(2, (), "b"), SecretsReencrypted(1, (), None))
    running.answer(ReencryptSecrets, *pages)
    ran = secret("reencrypt")
    said = "encrypted the secrets of 3 hooks with the newest key\n"
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, said, "")
    requests = [("hook_listener", ReencryptSecrets(after)) for after in ("", "b")]
    assert running.asked == requests
    running.answer(ReencryptSecrets, SecretsReencrypted(1, (), None))
    assert json.loads(secret("reencrypt", "--json").stdout) == {"hooks": 1, "failed": {}}


def test_those_that_could_not_be_encrypted_fail_the_command(running, secret):
    pages = (
        SecretsReencrypted(0, (("a", "no key"),), "b"),
        SecretsReencrypted(1, (("c", "no"),), None),
    )
    running.answer(ReencryptSecrets, *pages)
    ran = secret("reencrypt")
    assert (ran.exit_code, ran.stderr) == (1, "error: hook a: no key\nerror: hook c: no\n")
    assert ran.stdout == "encrypted the secrets of 1 hook with the newest key\n"
    running.answer(ReencryptSecrets, *pages)
    ran = secret("reencrypt", "--json")
    assert ran.exit_code == 1
    assert json.loads(ran.stdout) == {"hooks": 1, "failed": {"a": "no key", "c": "no"}}
