"""`callboard listen`, as a person runs it."""

import json
import re
import signal
import time
from pathlib import Path

import pytest
import requests

from callboard.cli.tryout.listen import listen as listen_command
from callboard.webhooks.deliveries.signing import new_secret, signature_headers
from support import commands
from support.patience import patient

SECRET = new_secret()


@pytest.fixture
def listen():
    """listen(*arguments) -> the process and its url."""
    processes = []

    def listen(*arguments, **environment):
        process = commands.Command(
            commands.environment(**environment), "listen", "--port", "0", *arguments
        )
        processes.append(process)
        first = process.stdout.readline()
        return process, re.search(r"http://\S+", first)[0]

    yield listen
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def rest(process):
    """What it prints until its end. (Not by `communicate`, which misses what is buffered.)"""
    shown = process.stdout.read()
    assert process.wait(timeout=patient(20)) == 0
    return shown


def send(url, body="{}", id="msg_1", **headers):
    signed = dict(signature_headers([SECRET], id, time.time(), body.encode()))
    return requests.post(
        url, body, headers={"webhook-id": id} | signed | headers, timeout=patient(10)
    )


def refused(*arguments):
    run = commands.run("listen", "--port", "0", *arguments)
    return run.returncode, run.stderr


def test_what_arrives_is_shown_and_summed_up(listen):
    process, url = listen("--secret", SECRET.text)
    body = '{"call_id": "ä\\u001b[2J", "to": "x"}'
    assert send(f"{url}calls", body).status_code == 200
    assert send(f"{url}calls", body).status_code == 200
    assert send(url, "[1]", "msg_2", **{"webhook-signature": "v1,AAAA"}).status_code == 200
    process.send_signal(signal.SIGINT)
    shown = rest(process)
    assert "POST /calls  answered 200  signature ok" in shown
    assert "repeat" in shown
    assert "signature wrong" in shown
    assert '"to": "x"' in shown
    assert "\x1b" not in shown
    assert "3 requests, 2 deliveries by webhook-id, 3 answered well, 1 repeat" in shown
    assert "signatures: ok 2, wrong 1" in shown


def test_a_newcomer_is_told_what_to_allow(listen):
    process, _url = listen()
    process.terminate()
    told = rest(process)
    assert "callboard hooks add http://127.0.0.1:" in told
    assert "--delivery-allow-networks 127.0.0.0/8" in told


def test_where_it_is_allowed_nothing_is_said_of_it(listen):
    process, _url = listen("--delivery-allow-networks", "127.0.0.0/8")
    process.terminate()
    assert "allow-networks" not in rest(process)


def test_programs_get_one_object_a_line_and_an_end(listen, unused_port):
    process = commands.Command(
        commands.environment(WEBHOOK_SECRET=SECRET.text),
        *("listen", "--json", "--count", "2", "--port", str(unused_port)),
        *("--first-fail", "1", "--status", "503", "--retry-after", "7"),
    )
    url = f"http://127.0.0.1:{unused_port}/form"
    end = time.monotonic() + patient(20)
    while True:
        try:
            first = send(url, "a=1&b=", **{"content-type": "application/x-www-form-urlencoded"})
            break
        except requests.ConnectionError:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert (first.status_code, first.headers["Retry-After"]) == (503, "7")
    assert send(url, '{"c": 2}').status_code == 200
    assert process.wait(patient(20)) == 0
    told = [json.loads(line) for line in process.stdout]
    assert [(t["body"], t["try"], t["signature"], t["answer"]) for t in told] == [
        ({"a": "1", "b": ""}, 1, "ok", "503"),
        ({"c": 2}, 2, "ok", "200"),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--secret", "sesame"], 2, "whsec_"),
        (["--strict"], 2, "--secret"),
        (["--drip", "--close"], 2, "--drip"),
        (["--close", "--status", "500"], 2, "--close"),
        (["--fail-rate", "2"], 2, "--fail-rate"),
        (["--fail-rate", "0.5", "--first-fail", "1"], 2, "--first-fail"),
        (["--bind", "203.0.113.1"], 1, "--bind"),
        (["--redirect", "http://x/\n"], 2, "ASCII"),
    ],
)
def test_bad_arguments_are_refused(arguments, code, says):
    returncode, errors = refused(*arguments)
    assert returncode == code
    assert says in errors


def test_a_port_that_is_taken_is_told(listen):
    _process, url = listen()
    code, errors = refused("--port", url.rstrip("/").rpartition(":")[2])
    assert code == 1
    assert "--port" in errors


def test_the_guide_names_only_options_that_there_are():
    guide = (Path(__file__).parents[2] / "docs" / "listen.md").read_text()
    known = {option for param in listen_command.params for option in param.opts}
    known |= {"--delivery-allow-networks", "--account", "--event"}
    named = set(re.findall(r"--[a-z][a-z-]+", guide))
    assert named
    assert named <= known
