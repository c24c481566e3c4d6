"""The API of an embedded Callboard: only where it is asked for."""

import json
import threading

import pytest
import requests

from callboard import embed
from support.patience import patient
from support.running import ACCOUNT


def test_it_is_not_served_unless_asked_for(settings):
    assert settings().api.enabled is None


def test_a_host_may_have_it_served(hosted, settings, receiver):
    mine = settings(api__enabled="true", api__port=0)
    hosted.begin("a", mine)
    hosted.wait(mine.api_place_file.exists, what="the API")
    url = json.loads(mine.api_place_file.read_text())["url"]
    token = mine.api_token_file.read_text().strip()
    hook = {"name": "n", "uri": f"{receiver.url}/a", "hook": "channel_create", "format": "json"}
    answers = []

    def call():
        answers.append(
            requests.put(
                f"{url}/v2/accounts/{ACCOUNT}/webhooks",
                json={"data": hook},
                headers={"X-Auth-Token": token},
                timeout=patient(30),
            )
        )

    client = threading.Thread(target=call)
    client.start()
    hosted.wait(lambda: answers, what="an answer")
    client.join()
    assert answers[0].status_code == 201, answers[0].text
    hosted.publish("a", range(3))
    hosted.wait_for_calls(receiver, "/a", range(3))
    hosted.send("a", embed.Stop())
    hosted.hear("a", embed.Finished)
    assert not mine.api_place_file.exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/healthz", timeout=patient(5))
