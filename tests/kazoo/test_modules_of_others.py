"""The example of a module of another application in docs/kazoo.md."""

import json
import re
from pathlib import Path

from callboard.actors.base.event_modules import event_modules
from callboard.config.loader import load
from callboard.webhooks.events.event import parse_event

PAGE = Path(__file__).parents[2] / "docs" / "kazoo.md"
ACCOUNT = "a1" * 16


def test_the_example_is_a_module_that_fires_for_its_category_alone(tmp_path):
    (example,) = re.findall(r"```toml\n(\[\[modules\]\].*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "callboard.toml"
    file.write_text(example)
    found = event_modules(load(file, {}, {}).settings)
    assert not found.problems
    (module,) = [m for m in found.modules if m.id == "qubicle_recipient_status_change"]

    def firing(category):
        body = {"Event-Category": category, "Event-Name": "ready", "Account-ID": ACCOUNT}
        event = parse_event(
            json.dumps(body).encode(), "application/json", None, "qubicle-event", "any.key", None
        )
        return module.firing(event, None) if module.responds_to(event) else None

    assert firing("qubicle-recipient").account_id == ACCOUNT
    assert firing("qubicle-queue") is None
