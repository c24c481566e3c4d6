"""Dispatch: which delivery is sent next, fairly across endpoints and hooks.

In: deliveries with their hook and endpoint, the outcomes of attempts, the time. Offers
`Dispatcher`, which chooses the deliveries to send now and those to defer; `Circuits` for endpoints
that cannot be reached; `Jobs`, the deliveries in progress in one process.
"""
