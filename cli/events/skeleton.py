"""The project that `callboard modules new` writes: the example module under another name."""

import inspect
import re

from callboard.webhooks.modules.discovery import GROUP
from callboard.webhooks.modules.kazoo import skel

_DOCSTRING = re.compile(r'\A""".*?"""', re.DOTALL)

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "callboard-{dashed}"
version = "0.1.0"
description = "{title}: an event module of Callboard."
requires-python = ">=3.11"
dependencies = ["callboard"]

# Callboard finds the module by this entry point.
[project.entry-points."{group}"]
{name} = "callboard_{name}:MODULE"

[tool.setuptools]
py-modules = ["callboard_{name}"]

[tool.pytest.ini_options]
pythonpath = ["."]
"""

_TEST = '''\
"""Tests of {title}: when it fires, and its payload."""

from callboard_{name} import MODULE

from callboard.webhooks.modules import Event

MESSAGE = {{
    "Event-Category": "category",
    "Event-Name": "name",
    "Account-ID": "an-account",
    "What": "something",
}}
# The cluster's data for look-ups; the module makes none yet.
DIRECTORY = None


def test_it_fires_for_the_account_of_the_message():
    assert MODULE.responds_to(Event(MESSAGE))
    firing = MODULE.firing(Event(MESSAGE), DIRECTORY)
    assert firing.account_id == "an-account"
    assert firing.event in MODULE.events
    assert firing.payload == {{"what": "something"}}


def test_other_messages_are_ignored():
    assert not MODULE.responds_to(Event(MESSAGE | {{"Event-Name": "another"}}))


def test_a_message_of_no_account_fires_nothing():
    del (message := dict(MESSAGE))["Account-ID"]
    assert MODULE.firing(Event(message), DIRECTORY) is None
'''


def project(name: str) -> dict[str, str]:
    """The files of the project, by name; `name` is the module's id."""
    title = name.replace("_", " ").title()
    words = {
        "name": name,
        "title": title,
        "dashed": name.replace("_", "-"),
        "group": GROUP,
    }
    return {
        "pyproject.toml": _PYPROJECT.format(**words),
        f"callboard_{name}.py": _module(name, title),
        f"test_callboard_{name}.py": _TEST.format(**words),
    }


def _module(name: str, title: str) -> str:
    """The example's own source, which avoids a second copy."""
    text = _DOCSTRING.sub(f'"""{title}: an event module of Callboard."""', inspect.getsource(skel))
    replaced = {"skel": name, "Skel": title, "Skeleton": f"{title.replace(' ', '')}Module"}
    return re.sub(r"\b(skel|Skeleton|Skel)\b", lambda found: replaced[found[1]], text)
