"""What all routes have in common: the time that they give to actors."""

import pytest

from callboard import admin
from callboard.actors.messages import (
    CancelDeliveries,
    GetFigures,
    GetHealth,
    ListHookProblems,
    ListHookQueues,
    ListSecrets,
)
from callboard.actors.messages.bulk import HooksPut, PutHooks
from callboard.supervision import GetTree
from support.api import PARENT, whole_system

HOOKS = f"/v2/accounts/{PARENT}/webhooks"
OPERATOR = "/v2/callboard"
HOOK = {"id": "h", "name": "n", "uri": "https://x.example/", "hook": "channel_create"}


@pytest.mark.parametrize(
    ("method", "path", "data", "question", "limit_s"),
    [
        ("GET", f"{OPERATOR}/tree", None, GetTree, 10),
        ("GET", f"{OPERATOR}/health", None, GetHealth, 10),
        ("GET", f"{OPERATOR}/figures", None, GetFigures, 10),
        ("GET", f"{OPERATOR}/hooks/problems", None, ListHookProblems, 10),
        ("GET", f"{HOOKS}/HOOK/secrets", None, ListSecrets, 10),
        ("GET", f"{HOOKS}/deliveries", None, ListHookQueues, 10),
        ("GET", f"{HOOKS}/deliveries", None, admin.ListWaiting, 10),
        ("DELETE", f"{HOOKS}/HOOK/deliveries", None, CancelDeliveries, 10),
        ("POST", f"{HOOKS}/HOOK/deliveries/retry", None, admin.RetryWaiting, 20),
        ("POST", f"{HOOKS}/bulk", {"hooks": [HOOK]}, PutHooks, 30),
        ("PATCH", HOOKS, {"re-enable": True}, admin.EnableAccountHooks, 30),
        (
            *("PATCH", f"{HOOKS}/dead_letters", {"action": "retry", "ids": ["l"]}),
            *(admin.RetryDeadLetters, 30),
        ),
        ("DELETE", f"{HOOKS}/dead_letters/l", None, admin.PurgeDeadLetters, 30),
        ("POST", f"{OPERATOR}/maintenance/register_views", {}, admin.RegisterViews, 60),
    ],
)
def test_an_actor_has_so_many_seconds_to_answer(api, method, path, data, question, limit_s):
    api.backend.answers |= whole_system() | {PutHooks: HooksPut(("h",))}
    api.add_letter("l")
    path = path.replace("HOOK", api.add_hook()["id"]) if "HOOK" in path else path
    assert api.call(method, path, data).status_code == 200
    # Up to the time that the request has taken.
    assert limit_s - 0.5 < api.backend.limits_s[question] <= limit_s
