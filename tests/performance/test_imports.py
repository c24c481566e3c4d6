"""What processes import: each actor's process has it in memory, each command waits for it."""

import json
import os
import subprocess
import sys

LATER = {
    *("couchdb", "jsonschema", "opentelemetry", "prometheus_client"),
    *("fastapi", "pydantic", "starlette", "uvicorn"),
    *("aiohttp", "matplotlib", "pycurl"),
}
"""Libraries that only those import who use them, and not before they do."""

IMPORTED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""

PROCESSES = {
    "the tree": "callboard.actors.system.tree",
    "a deliverer": "callboard.actors.delivery.deliverer",
    "the bridge": "callboard.actors.events.bridge",
}

RUN = """
import atexit, json, sys
from callboard.cli import main
shown = sys.stdout
sys.stdout = sys.stderr
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=shown))
main(sys.argv[1:])
"""

COMMANDS = {
    "callboard --version": ["--version"],
    "callboard --help": ["--help"],
    "callboard status": ["status"],
}
NOT_FOR_A_LOOK = LATER | {"asyncio", "pika", "requests", "sqlite3", "structlog"}
NOT_FOR_HELP = NOT_FOR_A_LOOK | {"attrs", "rich", "thespian"}


def test_nothing_is_imported_that_may_not_be_needed(within):
    began = {
        name: subprocess.Popen(
            [sys.executable, "-c", IMPORTED, module], stdout=subprocess.PIPE, text=True
        )
        for name, module in PROCESSES.items()
    }
    counted, early = {}, {}
    for name, process in began.items():
        modules = json.loads(process.communicate(timeout=60)[0])
        counted[f"{name}: modules"] = len(modules)
        early[name] = LATER & {module.partition(".")[0] for module in modules}
    assert not any(early.values()), early
    within("imports", counted, room=1.15)


def test_a_command_imports_what_it_needs_itself(within, tmp_path):
    began = {
        name: subprocess.Popen(
            [sys.executable, "-c", RUN, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "CALLBOARD_CONFIG": os.devnull, "CALLBOARD_DATA_DIR": str(tmp_path)},
        )
        for name, arguments in COMMANDS.items()
    }
    counted, early = {}, {}
    for name, process in began.items():
        modules = json.loads(process.communicate(timeout=60)[0])
        counted[f"{name}: modules"] = len(modules)
        needless = NOT_FOR_HELP if "--" in name else NOT_FOR_A_LOOK
        early[name] = needless & {module.partition(".")[0] for module in modules}
    assert not any(early.values()), early
    within("commands", counted, room=1.15)
