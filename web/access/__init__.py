"""Authentication and authorization of requests.

Offers the dependencies of routes: the caller that a token identifies, the accounts that it may
access, and the state of a request. Limits the rate of wrong tokens.
"""
