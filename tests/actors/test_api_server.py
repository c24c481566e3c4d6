"""The actor that serves the API: its port, what it shows of itself, and an answer through it."""

import json

import pytest
import requests

from callboard.actors.api.server import ApiServer
from callboard.actors.base.role import Setup
from callboard.config.settings import ApiSettings, DataSettings, LogSettings, Settings
from callboard.supervision import ChildSpec, SupervisorSpec
from support.patience import patient
from support.trees import SIMPLE, Tree


@pytest.fixture
def serving(tmp_path):
    """serving(port) -> (its settings, a tree of this actor alone)."""
    trees = []

    def serving(port):
        settings = Settings(
            api=ApiSettings(enabled=True, port=port),
            data=DataSettings(dir=tmp_path),
            log=LogSettings(level="critical"),
        )
        spec = SupervisorSpec((ChildSpec("api", ApiServer, Setup(settings)),))
        trees.append(Tree(SIMPLE, spec))
        return settings, trees[-1]

    yield serving
    for tree in trees:
        tree.close()


def stats_with(tree, name):
    """What the actor shows, once it shows this."""
    return tree.wait(lambda found: name in found.at("api").stats).at("api").stats


def test_it_listens_answers_and_says_where(serving):
    settings, tree = serving(0)
    port = stats_with(tree, "port")["port"]
    tree.wait(lambda found: found.at("api").stats["broker"] == "up")
    assert stats_with(tree, "port") == {
        "broker": "up",
        "works": 0,
        "unpublished": 0,
        "asking": 0,
        "refused": 0,
        "port": port,
    }
    place = json.loads(settings.api_place_file.read_text())
    assert place["url"] == f"http://127.0.0.1:{port}"
    healthy = requests.get(f"{place['url']}/healthz", timeout=patient(10)).json()
    assert 0 <= healthy.pop("uptime_s") < patient(60)
    assert healthy == {"status": "ok"}
