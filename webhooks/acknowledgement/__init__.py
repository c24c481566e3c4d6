"""Acknowledgement: who is responsible for which event until it is settled.

In: delivery tags, batches, shares of batches, and the processes that hold them. Offers the ledgers
of the three that hand work on: `EventLedger` (bridge), `Receipts` (deliverer), `BatchLedger` (retry
queue). Each says which tags to acknowledge, and which to give back.
"""
