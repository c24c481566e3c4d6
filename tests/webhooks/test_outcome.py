import pytest

from callboard.webhooks.retries.outcome import RESULTS, ClientError, Response, result_of


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Response(200), "2xx"),
        (Response(299), "2xx"),
        (Response(302), "3xx"),
        (Response(410), "4xx"),
        (Response(503), "5xx"),
        (Response(599), "5xx"),
        (Response(600), "other"),
        (Response(199), "other"),
        (Response(101), "other"),
        (Response(999), "other"),
        (ClientError("timeout"), "timeout"),
        (ClientError("failed_connect: econnrefused"), "connection_error"),
        (ClientError("tls: not TLS"), "connection_error"),
        (ClientError("refused: loopback"), "refused"),
        (ClientError("unknown"), "error"),
        (ClientError("whatever: comes"), "error"),
    ],
)
def test_attempts_are_counted_in_few_classes(outcome, result):
    assert result_of(outcome) == result
    assert result in RESULTS
