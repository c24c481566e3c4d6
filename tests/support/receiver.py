"""The product's receiver, with the tests' patience."""

from callboard.adapters import receiver
from support.patience import patient


class Receiver(receiver.Receiver):
    """A local endpoint that records requests."""

    def wait_for(self, wanted, timeout_s=10.0):
        return super().wait_for(wanted, patient(timeout_s))
