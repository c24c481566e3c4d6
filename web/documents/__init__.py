"""Hook documents as clients write and see them, and samples of events.

In: JSON of clients. Offers documents that are checked and ready to be stored, and the errors that
Crossbar makes of the others.
"""
