"""A machine of its own, as far as the network is concerned, whose cables can be cut.

A cut is silent: packets vanish, and neither side gets a word of it.
"""

import itertools
import os
import shutil
import subprocess
from contextlib import suppress

import pytest

_NOBODY = "02:00:00:00:00:01"
"""A hardware address that no card has: packets to it vanish."""
_numbers = itertools.count()

BOTH, TO, FROM = "both ways", "to it", "from it"
"""The directions of a cut."""


def ip(*words):
    """Run `ip` (iproute2)."""
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


class Machine:
    """A network namespace, and a virtual cable from it to here for each of `cables`.

    The last one leads to all other addresses here.
    `here[cable]` and `there[cable]` are the addresses at its ends. Skips the test where no
    namespace can be made.
    """

    def __init__(self, *cables):
        self.number = next(_numbers)
        self.name = f"cb{os.getpid()}-{self.number}"
        self._cables = cables
        self.here, self.there, self._cards = {}, {}, {}

    def __enter__(self):
        if shutil.which("ip") is None or os.geteuid() != 0:
            pytest.skip("needs the program `ip` (iproute2) and root, to make a network namespace")
        try:
            ip("netns", "add", self.name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespace can be made here: {error.stderr}")
        ip("-n", self.name, "link", "set", "lo", "up")
        for number, cable in enumerate(self._cables):
            self._lay(cable, 4 * (number + 8 * self.number))
        ip("-n", self.name, "route", "add", "default", "via", self.here[self._cables[-1]])
        return self

    def _lay(self, cable, first):
        """Addresses are of the range for such tests (RFC 2544)."""
        ours, theirs = (f"198.18.{first // 256 + 80}.{first % 256 + n}" for n in (1, 2))
        cards = [f"cb{os.getpid() % 10**6}{side}{first}" for side in "hn"]
        ip("link", "add", cards[0], "type", "veth", "peer", "name", cards[1], "netns", self.name)
        ip("addr", "add", f"{ours}/30", "dev", cards[0])
        ip("link", "set", cards[0], "up")
        ip("-n", self.name, "addr", "add", f"{theirs}/30", "dev", cards[1])
        ip("-n", self.name, "link", "set", cards[1], "up")
        self.here[cable], self.there[cable], self._cards[cable] = ours, theirs, cards

    def cut(self, cable, direction=BOTH):
        """Let the packets to the machine, or from it, vanish on this cable."""
        here, there = self._cards[cable]
        if direction != FROM:
            ip("neigh", "replace", self.there[cable], "lladdr", _NOBODY, "dev", here)
        if direction != TO:
            ip(
                "-n",
                self.name,
                "neigh",
                "replace",
                self.here[cable],
                "lladdr",
                _NOBODY,
                "dev",
                there,
            )

    def mend(self, cable):
        """End a cut."""
        here, there = self._cards[cable]
        for where in (
            ("neigh", "delete", self.there[cable], "dev", here),
            ("-n", self.name, "neigh", "delete", self.here[cable], "dev", there),
        ):
            with suppress(subprocess.CalledProcessError):  # It was cut in the other direction.
                ip(*where)

    def command(self, *words):
        """The words of a command that is to run on this machine."""
        return ["ip", "netns", "exec", self.name, *words]

    def __exit__(self, *_exc):
        for here, _there in self._cards.values():
            with suppress(subprocess.CalledProcessError):
                ip("link", "delete", here)
        ip("netns", "delete", self.name)
