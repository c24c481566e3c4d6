"""Order and losses of ordered hooks while a node's processes are killed and the node is restarted.

Run it as `python bench/ordered_kills.py [amqp://…]`, from a checkout with the packages for tests;
by default with the embedded broker. It prints the counts, and exits with 1 if an event was lost or
overtaken.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from callboard.adapters.receiver.server import Answer
from support.receiver import Receiver
from support.running import RunningSystem, call_event

EVENTS, HOOKS, KILLS, RESTARTS = 2_000, 5, 30, 2
BATCH = 50
SETTLED_WITHIN_S = 600
VICTIMS = (
    *("event_bridge", "responders/channel_create", "deliveries/retry_queue"),
    *("deliveries/deliverer-1", "deliveries/deliverer-2", "deliveries/attempt_log", "hook_table"),
)


def main(url: str | None) -> int:
    """Publish, kill and count."""
    begun: dict[str, list[int]] = defaultdict(list)
    accepted: dict[str, set[int]] = defaultdict(set)
    tried: Counter[tuple[str, int]] = Counter()

    def answer(request):
        number = int(json.loads(request.body)["call_id"].split("@")[0][5:])
        begun[request.path].append(number)
        tried[request.path, number] += 1
        if number % 50 == 49 and tried[request.path, number] == 1:
            return Answer(500)
        accepted[request.path].add(number)
        return Answer(200)

    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        receiver.answer("/", answer)
        system = RunningSystem(
            Path(folder) / "data",
            delivery__retry_policy="standard",
            delivery__retry_steps_s="1,1,1,1,1,1,1,1",
            disabler__enabled="false",
            actors__max_restarts=1_000,
            **({"amqp__url": url} if url else {}),
        )
        paths = [f"/hook{n}" for n in range(HOOKS)]
        try:
            for path in paths:
                system.add_hook(f"{receiver.url}{path}", format="json", ordered=True)
            system.wait_hooks(HOOKS)
            steps = EVENTS // BATCH
            for step in range(steps):
                system.publish(call_event(step * BATCH + n) for n in range(BATCH))
                if step * KILLS // steps < (step + 1) * KILLS // steps:
                    system.kill(chance.choice(VICTIMS))
                if step in (steps // 3, 2 * steps // 3):
                    system.close()
                    system.start()
            end = time.monotonic() + SETTLED_WITHIN_S
            while sum(map(len, accepted.values())) < EVENTS * HOOKS and time.monotonic() < end:
                time.sleep(0.5)
        finally:
            system.close()
    lost = EVENTS * HOOKS - sum(map(len, accepted.values()))
    firsts = {path: list(dict.fromkeys(begun[path])) for path in paths}
    inversions = sum(a > b for of in firsts.values() for a, b in pairwise(of))
    repeats = sum(map(len, begun.values())) - len(tried) - HOOKS * EVENTS // 50
    print(
        f"{EVENTS} events, {HOOKS} hooks, {KILLS} kills, {RESTARTS} restarts, "
        f"{'RabbitMQ' if url else 'embedded'}: {inversions} inversions, {lost} lost, "
        f"{repeats} repeats"
    )
    return int(bool(inversions or lost))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
