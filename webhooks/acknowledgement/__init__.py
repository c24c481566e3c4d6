"""Acknowledgement: who is responsible for which event until it is settled.

In: delivery tags, batches, shares of batches, and the processes that hold them. Offers the
two sides of each way from actor to actor: `Outbox` where the sender has the items, `Shares` where
the broker has them, and `Receipts` at the receiver; and the ledgers made of them, `EventLedger`
(bridge) and `BatchLedger` (retry queue), which say which tags to acknowledge or to give back.
"""
