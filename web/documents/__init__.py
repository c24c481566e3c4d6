"""Hook documents in requests and responses, and samples of events.

In: JSON of clients. Offers validated documents, ready to be stored, and Crossbar's errors for
invalid ones.
"""
