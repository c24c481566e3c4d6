"""The headers of a request: those of the delivery, and what HTTP needs; on both transports."""


def test_a_transport_adds_no_header_of_its_own(make, receiver):
    make().send("POST", receiver.url, [("X-Own", "1")], b"{}")
    (request,) = receiver.wait_for(1)
    headers = dict(request.headers)
    assert headers.pop("host") == receiver.url.partition("//")[2].rstrip("/")
    assert headers.pop("user-agent").startswith("Callboard/")
    headers.pop("connection", None)
    assert headers == {"x-own": "1", "content-length": "2", "accept-encoding": "identity"}


def test_the_host_comes_first_and_the_others_stay_in_their_order(make, receiver):
    """RFC 9110, 7.2: Host first is good practice."""
    given = [(f"X-{name}", "1") for name in "dgacbfeh"]
    make().send("POST", receiver.url, given, b"{}")
    (request,) = receiver.wait_for(1)
    names = list(request.headers)
    assert names[0] == "host"
    assert [name for name in names if name.startswith("x-")] == [n.lower() for n, _ in given]
