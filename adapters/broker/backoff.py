"""The pauses before connecting again."""

from random import uniform


class Backoff:
    """Pauses that double from `first_s` to `longest_s`, each shortened by up to half at random.

    The randomness prevents clients that lost a broker together from all returning at once.
    """

    def __init__(self, first_s: float = 0.1, longest_s: float = 10.0) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def pause_s(self, lasted_s: float) -> float:
        """The pause in seconds after a connection that lasted `lasted_s` (0: it failed).

        A connection that lasted longer than the pause before it resets the pauses to `first_s`.
        """
        if lasted_s > self._next_s:
            self._next_s = self._first_s
        longest, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return longest * uniform(0.5, 1.0)
