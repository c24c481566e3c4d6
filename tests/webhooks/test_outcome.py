import pytest

from callboard.webhooks.delivery import Delivery
from callboard.webhooks.outcome import (
    ClientError,
    Done,
    GiveUp,
    Response,
    Retry,
    next_try,
    succeeded,
)


def delivery(method="POST"):
    uri = "https://example.org/"
    return Delivery("d", "e", "h", "a", "all", uri, method, uri, (), b"", 3)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("status", [100, 200, 201, 202, 204, 301, 400, 404, 500, 503])
def test_200_is_success_and_201_to_a_put(method, status):
    expected = status == 200 or (method, status) == ("PUT", 201)
    assert succeeded(delivery(method), Response(status)) is expected


def test_success_is_the_end():
    assert next_try(delivery(), 3, Response(200)) == Done()


@pytest.mark.parametrize("tries_left", [1, 3])
def test_a_bad_status_is_not_tried_again(tries_left):
    assert next_try(delivery(), tries_left, Response(503)) == GiveUp("status 503")


@pytest.mark.parametrize(
    ("tries_left", "verdict"), [(3, Retry(2000)), (2, Retry(2000)), (1, GiveUp("timeout"))]
)
def test_a_client_error_is_tried_again_while_there_are_tries(tries_left, verdict):
    assert next_try(delivery(), tries_left, ClientError("timeout")) == verdict


def test_a_refused_address_is_refused_for_good():
    error = ClientError("refused: loopback")
    assert next_try(delivery(), 3, error) == GiveUp("refused: loopback")


def test_a_refused_connection_is_no_refused_address():
    error = ClientError("failed_connect: econnrefused", "Connection refused")
    assert next_try(delivery(), 3, error) == Retry(2000)
