"""How an actor answers administrative requests: each in the end, and with `Refused` if it must."""

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
from callboard.webhooks.hooks.arguments import BadArgument, version_argument


@frozen
class Asker:
    """Who is to be answered, and the text of his that goes back with the answer."""

    address: ActorAddress
    ref: str


class Answering(Role):
    """An actor that is asked."""

    def receiveMsg_AdminRequest(self, message: admin.AdminRequest, sender: ActorAddress) -> None:
        """Somebody wants something done."""
        to = Asker(sender, message.ref)
        with self.refusing(to):
            version_argument(message.version, admin.VERSION)
            self.begin_request(message, to)

    def begin_request(self, request: admin.AdminRequest, to: Asker) -> None:
        """What the subclass does about it. Raises BadArgument, StoreError."""
        raise NotImplementedError

    @contextmanager
    def refusing(self, to: Asker) -> Iterator[None]:
        """Refuse where an argument is bad, or the store fails."""
        try:
            yield
        except (BadArgument, StoreError) as problem:
            self.refuse(to, str(problem))

    def refuse(self, to: Asker, reason: str) -> None:
        """Say why a request is not carried out."""
        self.log.info("request_refused", reason=reason)
        self.answer(to, admin.Refused(reason))

    def answer(self, to: Asker, answer: admin.AdminAnswer) -> None:
        """Answer with the asker's own reference."""
        self.send(to.address, attrs.evolve(answer, ref=to.ref))

    def page(
        self,
        to: Asker,
        answer: Callable[[tuple[Any, ...], admin.Cursor | None], admin.AdminAnswer],
        failed: str = "",
    ) -> Done:
        """How a page ends: with its findings, or, if it failed before there were any, refused."""

        def done(found: tuple[Any, ...], more: admin.Cursor | None, problem: str) -> None:
            if problem and not found:
                self.refuse(to, failed + problem)
            else:
                self.answer(to, answer(found, more))

        return done
