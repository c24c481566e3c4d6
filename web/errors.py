"""The errors of the API, in Crossbar's words (cb_context, api_util)."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from callboard.actors.messages import RefusedByActor
from callboard.webhooks.hooks.quotas import Excess

Problems = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""A document's faults: path of a member -> rule -> `message` and further facts."""

MAX_FAULTS = 100
"""The most faults of a document that a response lists."""

_BUSY = "busy"


class ApiError(Exception):
    """A failure response: HTTP status, and `message` and `data` of its envelope.

    `account_id`: the account whose quota is the reason, if it may be another than the caller's.
    """

    def __init__(
        self,
        status: int,
        message: str,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        account_id: str = "",
    ) -> None:
        super().__init__(status, message)
        self.account_id = account_id
        self.status = status
        self.message = message
        self.data = {"message": message.replace("_", " ")} if data is None else data
        self.headers = dict(headers or {})

    @property
    def quota(self) -> tuple[str, str] | None:
        """The setting for which the request was refused, and the reason; None: there is none."""
        facts = self.data if isinstance(self.data, Mapping) else {}
        setting, reason = facts.get("setting"), facts.get("message")
        return (setting, reason) if isinstance(setting, str) and isinstance(reason, str) else None

    @property
    def is_limit(self) -> bool:
        """Whether the request would have succeeded, had there been fewer."""
        return self.status == 429 or self.message == _BUSY


def invalid(problems: Problems) -> ApiError:
    """400: the document or the query breaks these rules, of which the first MAX_FAULTS are listed.

    Dots within a member's name are `%2E`.
    """
    return ApiError(400, "validation error", dict(islice(problems.items(), MAX_FAULTS)))


def invalid_member(path: str, rule: str, message: str, **more: Any) -> ApiError:
    """400 for one member."""
    return invalid({path: {rule: {"message": message, **more}}})


def bad_identifier(id: str) -> ApiError:
    """404: the id is unknown, or the caller may not see it."""
    return ApiError(404, "bad_identifier", {"message": "bad identifier", "cause": id})


def invalid_credentials() -> ApiError:
    """401: no token, or an unknown one."""
    return ApiError(401, "invalid_credentials", headers={"WWW-Authenticate": "Bearer"})


def forbidden() -> ApiError:
    """403: the token is valid, but lacks the permission."""
    return ApiError(403, "forbidden")


def too_many_requests(retry_after_s: int) -> ApiError:
    """429: the client's address has sent wrong tokens; it must wait this long."""
    return ApiError(
        429,
        "too_many_requests",
        {"message": "too many wrong tokens from this address", "retry_after_s": retry_after_s},
        {"Retry-After": str(retry_after_s)},
    )


def conflict() -> ApiError:
    """409: the document was changed in the meantime."""
    return ApiError(409, "datastore_conflict")


def precondition_failed() -> ApiError:
    """412: the document's revision differs from the one in `If-Match`."""
    return ApiError(412, "precondition_failed")


def datastore_fault() -> ApiError:
    """503: a required document is missing."""
    return ApiError(503, "datastore_fault", {"message": "datastore fatal error"})


def datastore_timeout(cause: str) -> ApiError:
    """503: a result did not arrive in time."""
    return ApiError(503, "datastore timeout", {"message": "datastore timeout", "cause": cause})


def quota_exceeded(excess: Excess) -> ApiError:
    """409: the account has as many of something as it may; 400: one of its hooks is too large."""
    facts = {"message": excess.reason, "setting": excess.setting}
    if excess.subject == "hooks":
        shown = {**facts, "limit": excess.limit}
        return ApiError(409, "quota_exceeded", shown, account_id=excess.account_id)
    return invalid({excess.subject: {"quota": {**facts, "target": excess.limit}}})


def over_rate(reason: str, setting: str, retry_after_s: int = 1, account_id: str = "") -> ApiError:
    """429: the account does as much at a time as it may, by this setting."""
    facts = {"message": reason, "setting": setting, "retry_after_s": retry_after_s}
    retry = {"Retry-After": str(retry_after_s)}
    return ApiError(429, "too_many_requests", facts, retry, account_id)


def event_loop(most: int) -> ApiError:
    """508: an event goes round, as hooks or their receivers post it to us again and again."""
    reason = f"a hook posts its deliveries back to Callboard: the event went round {most} times"
    return ApiError(508, "loop_detected", {"message": reason, "limit": most})


def busy(reason: str, retry_after_s: int = 5) -> ApiError:
    """503: the node does as much at a time as it can."""
    return ApiError(503, _BUSY, {"message": reason}, {"Retry-After": str(retry_after_s)})


def broker_blocked(reason: str, retry_after_s: int = 5) -> ApiError:
    """503: the broker takes no messages at present; none was or will be published."""
    facts = {"message": reason, "retry_after_s": retry_after_s}
    return ApiError(503, "broker_blocked", facts, {"Retry-After": str(retry_after_s)})


def refused(refusal: RefusedByActor) -> ApiError:
    """409, 429, 503 or 500: an actor refused the request."""
    reason, setting = str(refusal), refusal.setting
    match refusal.cause:
        case "blocked":
            return broker_blocked(reason)
        case "quota":
            return over_rate(reason, setting, 5)
        case "setting":
            return ApiError(409, "not_on_this_node", {"message": reason, "setting": setting})
        case "busy":
            return busy(reason)
        case _:
            return backend_failed(reason)


def backend_failed(cause: str) -> ApiError:
    """500: the system behind the API refused."""
    return ApiError(
        500, "Request failed on the backend", {"message": "request failed", "cause": cause}
    )


def path_part(name: str) -> str:
    """A member's name as part of a path in `Problems`."""
    return name.replace(".", "%2E")
