"""Retries: what the outcome of an attempt means, and when the next one is due.

In: an `Outcome`, the attempts made, the time. Offers the policies `kazoo` and `standard`, whose
`verdict` is `Done`, `Retry` or `GiveUp`; `RetryMessage`, a deferred delivery as the retry queue
keeps it; and delays made of a few fixed ones.
"""
