"""What is written within one turn of the loop is sent together."""

import asyncio

from callboard.actors.api.joined_writes import MOST, JoinedWrites


class Transport:
    def __init__(self):
        self.calls = []

    def write(self, data):
        self.calls.append(data)

    def close(self):
        self.calls.append("close")

    def is_closing(self):
        return "close" in self.calls

    def get_write_buffer_size(self):
        return 7


def written(write):
    """The calls of the transport when `write` has run within a turn, and those before its end."""

    async def turn():
        transport = Transport()
        joined = JoinedWrites(transport, asyncio.get_running_loop())
        write(joined)
        within = list(transport.calls)
        await asyncio.sleep(0)
        return within, transport.calls

    return asyncio.run(turn())


def test_the_head_and_the_body_of_a_response_are_one_packet():
    def respond(joined):
        joined.write(b"head")
        joined.write(b"body")
        assert joined.get_write_buffer_size() == 7 + 8

    assert written(respond) == ([], [b"headbody"])


def test_sixteen_kib_wait_for_the_end_of_the_turn():
    whole = b"x" * 16_384
    assert written(lambda joined: joined.write(whole)) == ([], [whole])


def test_what_is_much_is_sent_at_once_and_in_order():
    def respond(joined):
        joined.write(b"head")
        joined.write(b"x" * MOST)
        joined.write(b"end")
        assert joined.get_write_buffer_size() == 7 + 3

    assert written(respond) == ([b"head" + b"x" * MOST], [b"head" + b"x" * MOST, b"end"])


def test_a_response_is_sent_before_its_connection_is_closed():
    def respond(joined):
        joined.write(b"last")
        joined.close()
        assert joined.is_closing()

    assert written(respond) == ([b"last", "close"], [b"last", "close"])
