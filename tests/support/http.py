"""What tests of the transport share: resolvers that answer as told, and servers' certificates."""

import itertools
import socket
import ssl

LOOPBACK = ("127.0.0.0/8", "::1/128")


def answer(address, port):
    """An entry of getaddrinfo's answer."""
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 0, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port))


def resolves_to(*addresses):
    """A resolver that gives the n-th lookup the n-th list of addresses, the last for ever."""
    answers = itertools.chain(addresses, itertools.repeat(addresses[-1]))

    def resolve(_host, port, *_args):
        return [answer(address, port) for address in next(answers)]

    return resolve


def server_context(authority, *names, **arguments):
    """TLS of a server with a certificate for these names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, **arguments).configure_cert(context)
    return context
