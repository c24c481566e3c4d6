"""What the hooks' own expressions make of an event: who wants it, and what they send."""

from collections.abc import Mapping
from typing import Any

from callboard.webhooks.deliveries.encoding import JSON_TYPE, content, content_type
from callboard.webhooks.events.event import Event
from callboard.webhooks.expressions.evaluation import is_false
from callboard.webhooks.expressions.functions import WrongType
from callboard.webhooks.expressions.shape import EVENT, FILTER, HEADERS, TRANSFORM, expression
from callboard.webhooks.expressions.work import TooMuchWork, Work
from callboard.webhooks.hooks.hook import Hook

MAX_WORK = 500_000
"""The units of work (expressions/work.py) of one evaluation: some 0.1 seconds."""
AT_ONCE = 200_000
"""After so many units, an event's further filters are evaluated in slices, between others' work."""
UNIT_BYTES = 8
"""A unit of work takes as long as encoding so many bytes of a payload."""


class NotWanted(Exception):
    """The hook's filter turns out not to want the event."""


class Unshapable(ValueError):
    """A delivery that cannot be made for its hook's own expression.

    `member`: `filter` or `transform`; the text gives the reason.
    """

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(member, reason)
        self.member, self.reason = member, reason

    def __str__(self) -> str:
        return self.reason


class Shaping:
    """An event as hooks' expressions see it."""

    def __init__(
        self, event: Event, module_id: str, account_id: str, payload: Mapping[str, Any]
    ) -> None:
        self._event, self._module_id, self._account_id = event, module_id, account_id
        self._payload = payload
        self._at_once = AT_ONCE
        self._undecided: set[str] = set()
        self.work = 0
        """The units that transforms have taken."""

    def wants(self, hook: Hook) -> bool:
        """Whether the hook's filter wants the event, as far as that is decided at once.

        If it took too much work, or filters before it did, `check` decides.
        """
        shape = hook.shape
        if shape is None or not shape.filter:
            return True
        if self._at_once < 0:
            self._undecided.add(hook.id)
            return True
        work = Work(MAX_WORK)
        try:
            return self.passes(shape.filter, work)
        except TooMuchWork:
            self._undecided.add(hook.id)
            return True
        finally:
            self._at_once -= MAX_WORK - work.left - expression(shape.filter).steps

    def check(self, hook: Hook) -> None:
        """Decide about a hook that `wants` has left undecided. Raises NotWanted, Unshapable."""
        if hook.id not in self._undecided or hook.shape is None:
            return
        try:
            wanted = self.passes(hook.shape.filter, Work(MAX_WORK))
        except TooMuchWork as problem:
            raise Unshapable(FILTER, str(problem)) from None
        if not wanted:
            raise NotWanted

    def passes(self, filter: str, work: Work) -> bool:
        """Whether a filter accepts the event. Raises TooMuchWork.

        A member that is missing is null, and a function that has no result for null makes the
        whole filter false.
        """
        try:
            return not is_false(self._of(filter, self._payload, work))
        except WrongType:
            return False

    def filtered(self, filter: str) -> Any:
        """The result of a filter, for people. Raises Unshapable."""
        try:
            work = Work(MAX_WORK)
            result = self._of(filter, self._payload, work)
            work.take_whole(result)
        except (WrongType, TooMuchWork) as problem:
            raise Unshapable(FILTER, str(problem)) from None
        return result

    def transformed(self, transform: str, payload: Mapping[str, Any]) -> Any:
        """What a transform makes of the payload that would be sent. Raises Unshapable."""
        work = Work(MAX_WORK)
        try:
            result = self._of(transform, payload, work)
            work.take_whole(result)
        except (WrongType, TooMuchWork) as problem:
            raise Unshapable(TRANSFORM, str(problem)) from None
        finally:
            self.work += MAX_WORK - work.left
        if result is None:
            raise Unshapable(TRANSFORM, "the result is null, which is no body")
        return result

    def _of(self, text: str, payload: Mapping[str, Any], work: Work) -> Any:
        found = expression(text)
        if not found.names.isdisjoint((EVENT, HEADERS)):
            payload = {**payload, EVENT: self.facts, HEADERS: self._event.headers}
        elif not isinstance(payload, dict):
            payload = dict(payload)
        return found.of(payload, work)

    @property
    def facts(self) -> dict[str, Any]:
        """The event's own facts, as expressions find them in `_event`."""
        event = self._event
        return {
            "module": self._module_id,
            "account_id": self._account_id,
            "exchange": event.exchange,
            "routing_key": event.routing_key,
            "message_id": event.message_id,
        }


def shaped_content(hook: Hook, value: Any) -> tuple[str, bytes]:
    """The content type and the content of a transform's result. Raises Unshapable."""
    form = content_type(hook)
    if form != JSON_TYPE and not isinstance(value, dict):
        raise Unshapable(TRANSFORM, "a form needs an object, and the result is none")
    return form, content(form, value)
