"""The base of actors that handle administrative requests; each request gets a response."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from attrs import frozen
from thespian.actors import ActorAddress

from callboard import admin
from callboard.actors.base.role import Role
from callboard.actors.base.slices import Done
from callboard.adapters.store.protocol import StoreError
from callboard.webhooks.hooks.arguments import BadArgument, NotOnThisNode, version_argument


@frozen
class Asker:
    """The sender of a request, and the reference that the response returns."""

    address: ActorAddress
    ref: str


class Answering(Role):
    """An actor that handles `callboard.admin` requests."""

    def receiveMsg_AdminRequest(self, message: admin.AdminRequest, sender: ActorAddress) -> None:
        """Carry out a request, or refuse it."""
        to = Asker(sender, message.ref)
        with self.refusing(to):
            version_argument(message.version, admin.VERSION)
            self.begin_request(message, to)

    def begin_request(self, request: admin.AdminRequest, to: Asker) -> None:
        """Carry out a request. Raises BadArgument, StoreError."""
        raise NotImplementedError

    @contextmanager
    def refusing(self, to: Asker) -> Iterator[None]:
        """Refuse the request if the block raises BadArgument or StoreError."""
        try:
            yield
        except NotOnThisNode as problem:
            self.answer(to, admin.Refused(str(problem), "setting", problem.setting))
        except (BadArgument, StoreError) as problem:
            self.refuse(to, str(problem))

    def refuse(self, to: Asker, reason: str, cause: admin.Cause = "", setting: str = "") -> None:
        """Respond with `Refused`."""
        self.log.info("request_refused", reason=reason)
        self.answer(to, admin.Refused(reason, cause, setting))

    def answer(self, to: Asker, response: admin.AdminAnswer) -> None:
        """Respond with the request's reference."""
        self.send(to.address, attrs.evolve(response, ref=to.ref))

    def page(
        self,
        to: Asker,
        response: Callable[[tuple[Any, ...], admin.Cursor | None], admin.AdminAnswer],
        failed: str = "",
    ) -> Done:
        """The callback that ends a page: responds with the results, or refuses if it failed
        before there were any."""

        def done(found: tuple[Any, ...], more: admin.Cursor | None, problem: str) -> None:
            if problem and not found:
                self.refuse(to, failed + problem)
            else:
                self.answer(to, response(found, more))

        return done
