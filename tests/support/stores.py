"""A document store with interventions between two calls."""


class Meddled:
    """The given store, with `before`: name of a method -> function(*arguments) called first.

    Each function is called once; its exceptions reach the caller. `calls` are the names of all
    methods called.
    """

    def __init__(self, store, **before):
        self._store = store
        self.before = before
        self.calls = []

    def __getattr__(self, name):
        method = getattr(self._store, name)

        def call(*arguments, **options):
            self.calls.append(name)
            if first := self.before.pop(name, None):
                first(*arguments)
            return method(*arguments, **options)

        return call


def refuse(error):
    """A function that raises the error for any arguments."""

    def refusing(*_arguments):
        raise error

    return refusing
