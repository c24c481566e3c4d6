"""History: records of attempts, dead letters, and sending them again.

In: deliveries with the outcome of their attempts. Offers the documents that are stored of them, and
from a stored one the delivery that repeats it.
"""
