"""The product's receiver, with the tests' patience."""

import threading

from callboard.adapters import receiver
from services import free_port
from support.patience import patient


class Receiver(receiver.Receiver):
    """A local endpoint that records requests, on a port that no other test's hooks still call."""

    def __init__(self, host="127.0.0.1", port=None, **options):
        super().__init__(host, free_port() if port is None else port, **options)

    def hold(self, prefix, behaviour, after):
        """Behave so at these paths until `after` requests have come.

        The last of these and all later ones, wherever they arrive, wait until the event that this
        returns is set.
        """
        go_on = threading.Event()

        def answer(_request):
            if self.count >= after:
                go_on.wait(patient(20))
            return behaviour

        self.answer(prefix, answer)
        return go_on

    def wait_for(self, wanted, timeout_s=10.0):
        return super().wait_for(wanted, patient(timeout_s))
