"""Who makes a request, and what they may do.

Offers what routes depend on: the caller of a token, the accounts that it may see, and the state of
a request. Guessing tokens is slowed down here.
"""
