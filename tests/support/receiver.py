"""The product's receiver, as patient as the tests are."""

from callboard.adapters import receiver
from support.patience import patient


class Receiver(receiver.Receiver):
    """A local endpoint that records what it is sent."""

    def wait_for(self, wanted, timeout_s=10.0):
        return super().wait_for(wanted, patient(timeout_s))
