import pytest

from callboard.web.access.throttling import Guard, Wrong, network_of

TOKEN = "a-token-of-someone"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_the_wait_doubles_after_some_free_tries_up_to_a_bound():
    waits, wrong = [], Wrong()
    for _ in range(16):
        wrong = wrong.again(1000.0)
        waits.append(wrong.wait_s(1000.0))
    assert waits[: 5 - 1] == [0.0] * (5 - 1)
    assert waits[5 - 1 : 5 + 3] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == 300.0


def test_it_ends_with_time_and_with_a_good_token():
    clock = Clock()
    guard = Guard(clock)
    for _ in range(5 + 2):
        guard.wrong("192.0.2.1", TOKEN)
    assert guard.wait_s("192.0.2.1", TOKEN) == 4
    assert guard.wait_s("192.0.2.2", TOKEN) == 0
    clock.now += 4
    assert guard.wait_s("192.0.2.1", TOKEN) == 0
    guard.wrong("192.0.2.1", TOKEN)
    assert guard.wait_s("192.0.2.1", TOKEN) == 8
    guard.right("192.0.2.1", TOKEN)
    assert guard.wait_s("192.0.2.1", TOKEN) == 0
    assert len(guard) == 0


@pytest.mark.parametrize(("later_s", "wait_s"), [(3600, 300), (3600.5, 0)])
def test_what_is_more_than_an_hour_past_is_forgotten(later_s, wait_s):
    clock = Clock()
    guard = Guard(clock)
    for _ in range(20):
        guard.wrong("192.0.2.1", TOKEN)
    clock.now += later_s
    guard.wrong("192.0.2.1", TOKEN)
    assert guard.wait_s("192.0.2.1", TOKEN) == wait_s


def test_memory_is_bounded_and_the_oldest_goes_first():
    guard = Guard(Clock(), most=3)
    for _ in range(10):
        guard.wrong("192.0.2.1", TOKEN)
    for number in range(2, 5):
        guard.wrong(f"192.0.2.{number}", TOKEN)
    assert len(guard) == 3
    assert guard.wait_s("192.0.2.1", TOKEN) == 0


def test_ten_thousand_clients_are_remembered():
    guard = Guard(Clock())
    for number in range(10_001):
        guard.wrong(f"10.0.{number // 256}.{number % 256}", TOKEN)
    assert len(guard) == 10_000


def test_one_host_is_one_client_whatever_its_address():
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1")
    assert network_of("2001:db8:1:2::4") != network_of("2001:db8:1:3::4")
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("testclient") == "testclient"


def test_what_counts_is_the_client_and_the_beginning_of_the_token():
    guard = Guard(Clock())
    for number in range(5):
        guard.wrong("192.0.2.1", f"12345678-{number}")
        guard.wrong("192.0.2.1", f"cbt_{'a' * 16}_{number}")
    for known in ("12345678", "12345678 and more", f"cbt_{'a' * 16}_{'x' * 43}"):
        assert guard.wait_s("192.0.2.1", known) == 1
        assert guard.wait_s("192.0.2.2", known) == 0
    another = f"cbt_{'b' * 16}_{'x' * 43}"
    for other in ("1234567", "12345679", another, "cbt_aaaa", "cbt_aaaa_x", ""):
        assert guard.wait_s("192.0.2.1", other) == 0
