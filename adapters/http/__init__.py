"""Requests to endpoints: by threads (`threaded`) or by libcurl (`curl`), under the same rules.

In: a method, a URL, headers and a body. Offers the two transports, whose answers are values of
`webhooks.retries.outcome`, whatever the endpoint does; and the rules for where a hook may point.
Nothing here imports pycurl but `curl` and its parts, as it is an extra.
"""
