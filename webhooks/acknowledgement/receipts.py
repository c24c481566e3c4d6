"""A deliverer's open receipts: the shares received from sources, until all their tags are settled.

A source is an actor that hands out deliveries and waits for reports on them: the event bridge or
the retry queue. Only the latest incarnation of a source counts, because the broker redelivers all
that an earlier one has sent.
"""

from collections.abc import Iterable, Mapping

from attrs import Factory, define, frozen

Source = tuple[str, int]
"""A source: its path and its incarnation."""


@frozen
class Receipt:
    """One delivery of a tag of a share, which its source waits for."""

    source: Source
    share: str
    tag: int


@frozen
class Report:
    """A report to a source: shares that arrived, and settled events as (share, tags).

    `returned`: the tags among these whose delivery is to be attempted again.
    """

    source: Source
    accepted: tuple[str, ...]
    settled: tuple[tuple[str, tuple[int, ...]], ...]
    returned: tuple[int, ...] = ()


@define
class _Account:
    """The open shares of one incarnation of a source. `left`: deliveries by tag, by share."""

    incarnation: int
    left: dict[str, dict[int, int]] = Factory(dict)
    accepted: list[str] = Factory(list)
    settled: dict[str, list[int]] = Factory(dict)
    returned: list[int] = Factory(list)


class Receipts:
    """The open shares, by source."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def serve(self, source: Source) -> bool:
        """Drop the receipts of earlier incarnations; returns whether this one is the latest."""
        path, incarnation = source
        account = self._accounts.get(path)
        if account is None or incarnation > account.incarnation:
            self._accounts[path] = _Account(incarnation)
            return True
        return incarnation == account.incarnation

    def take(self, source: Source, share: str, deliveries: Mapping[int, int]) -> bool:
        """Record a share's number of deliveries by tag; False if it is a duplicate or outdated."""
        if not self.serve(source):
            return False
        account = self._accounts[source[0]]
        if share in account.left:
            return False
        account.accepted.append(share)
        account.left[share] = dict(deliveries)
        return True

    def settle(self, receipt: Receipt, *, is_returned: bool = False) -> None:
        """Record that one of the deliveries is settled, perhaps to be attempted again."""
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
            if is_returned:
                account.returned.append(receipt.tag)
        if not left:
            del account.left[receipt.share]

    @property
    def settled(self) -> int:
        """The number of settled events that no report has included yet."""
        accounts = self._accounts.values()
        return sum(len(tags) for account in accounts for tags in account.settled.values())

    def paths(self) -> list[str]:
        """The paths of sources for which a report is due."""
        return [path for path, known in self._accounts.items() if known.accepted or known.settled]

    def report(self, path: str) -> Report:
        """The report for a source; a second call returns only later changes."""
        account = self._accounts[path]
        settled = tuple((share, tuple(tags)) for share, tags in account.settled.items())
        source, returned = (path, account.incarnation), tuple(account.returned)
        report = Report(source, tuple(account.accepted), settled, returned)
        account.accepted, account.settled, account.returned = [], {}, []
        return report

    def unknown(self, source: Source, shares: Iterable[str]) -> tuple[str, ...]:
        """The shares that are neither open here nor settled and about to be reported."""
        account = self._accounts.get(source[0])
        if account is None or account.incarnation != source[1]:
            return tuple(shares)
        return tuple(p for p in shares if p not in account.left and p not in account.settled)
