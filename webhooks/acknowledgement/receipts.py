"""What a deliverer owes: the shares that its sources sent, until each of their tags is settled.

A source is an actor that hands out deliveries and wants to hear when they are settled: the event
bridge and the retry queue. Of each only the latest incarnation counts, as what an earlier one
sent comes again.
"""

from collections.abc import Iterable, Mapping

from attrs import Factory, define, frozen

Source = tuple[str, int]
"""A source: its path and its incarnation."""


@frozen
class Receipt:
    """One delivery of a tag of a share: what its source waits for."""

    source: Source
    share: str
    tag: int


@frozen
class Report:
    """News for a source: shares that arrived, and (share, tags) that are settled."""

    source: Source
    accepted: tuple[str, ...]
    settled: tuple[tuple[str, tuple[int, ...]], ...]


@define
class _Account:
    """What one incarnation of a source is owed. `left`: deliveries by tag, by share."""

    incarnation: int
    left: dict[str, dict[int, int]] = Factory(dict)
    accepted: list[str] = Factory(list)
    settled: dict[str, list[int]] = Factory(dict)


class Receipts:
    """The shares in hand, by source."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def serve(self, source: Source) -> bool:
        """Whether this incarnation is the latest; nothing more is owed to the ones before it."""
        path, incarnation = source
        account = self._accounts.get(path)
        if account is None or incarnation > account.incarnation:
            self._accounts[path] = _Account(incarnation)
            return True
        return incarnation == account.incarnation

    def take(self, source: Source, share: str, deliveries: Mapping[int, int]) -> bool:
        """A share has arrived, with so many deliveries by tag; False: it is known, or outdated."""
        if not self.serve(source):
            return False
        account = self._accounts[source[0]]
        if share in account.left:
            return False
        account.accepted.append(share)
        account.left[share] = dict(deliveries)
        return True

    def settle(self, receipt: Receipt) -> None:
        """One of the deliveries is settled."""
        path, incarnation = receipt.source
        account = self._accounts.get(path)
        if account is None or account.incarnation != incarnation:
            return
        left = account.left.get(receipt.share)
        if left is None or receipt.tag not in left:
            return
        left[receipt.tag] -= 1
        if not left[receipt.tag]:
            del left[receipt.tag]
            account.settled.setdefault(receipt.share, []).append(receipt.tag)
        if not left:
            del account.left[receipt.share]

    @property
    def settled(self) -> int:
        """How many events are settled that no report has told of."""
        accounts = self._accounts.values()
        return sum(len(tags) for account in accounts for tags in account.settled.values())

    def paths(self) -> list[str]:
        """Sources that there is news for."""
        return [path for path, known in self._accounts.items() if known.accepted or known.settled]

    def report(self, path: str) -> Report:
        """The news for a source, which is no longer news then."""
        account = self._accounts[path]
        settled = tuple((share, tuple(tags)) for share, tags in account.settled.items())
        report = Report((path, account.incarnation), tuple(account.accepted), settled)
        account.accepted, account.settled = [], {}
        return report

    def unknown(self, source: Source, shares: Iterable[str]) -> tuple[str, ...]:
        """Those of the shares that are not here, nor settled and about to be reported."""
        account = self._accounts.get(source[0])
        if account is None or account.incarnation != source[1]:
            return tuple(shares)
        return tuple(p for p in shares if p not in account.left and p not in account.settled)
