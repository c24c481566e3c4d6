"""What processes import: each actor's process has it in memory, each command waits for it."""

import json
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
    "a command": "callboard.run_system",
    "the tree": "callboard.actors.system.tree",
    "a deliverer": "callboard.actors.delivery.deliverer",
    "the bridge": "callboard.actors.events.bridge",
}


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
