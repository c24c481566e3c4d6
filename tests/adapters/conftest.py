"""Transports that may call loopback, the authority that they trust, and connections to RabbitMQ."""

import socket

import pytest
import trustme

from callboard.adapters.broker.rabbitmq.connection import AmqpConnection
from callboard.adapters.http.address_guard import AddressGuard
from services.driver import Driver
from support.http import LOOPBACK, TRANSPORTS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_bundle(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport_class(request):
    """Each of the transports."""
    return TRANSPORTS[request.param]


@pytest.fixture
def make(transport_class, ca_bundle):
    """make(**arguments) -> a transport that may call loopback."""
    transports = []

    def make(connect_timeout_s=30, request_timeout_s=30, resolve=socket.getaddrinfo, **arguments):
        arguments = {
            "guard": AddressGuard(LOOPBACK, resolve),
            "ca_bundle": ca_bundle,  # small: loading certifi's takes longer than most tests
            **arguments,
        }
        transports.append(transport_class(connect_timeout_s, request_timeout_s, **arguments))
        return transports[-1]

    yield make
    for transport in transports:
        transport.close()


@pytest.fixture
def drive(amqp_url):
    """drive(topology, **arguments) -> a driver of a connection to RabbitMQ."""
    drivers = []

    def drive(topology, **arguments) -> Driver:
        drivers.append(Driver(AmqpConnection(amqp_url, topology, **arguments)))
        return drivers[-1]

    yield drive
    for driver in drivers:
        driver.connection.close()
