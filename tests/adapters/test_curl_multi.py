"""Libcurl's transfers in one thread, and who else has to do with them."""

import select
import subprocess
import sys
import threading
from queue import SimpleQueue

from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.curl import CurlTransport
from callboard.adapters.http.curl_multi import CurlMulti
from support.descriptors import freed_by
from support.http import LOOPBACK, answer
from support.patience import patient

HANGING = """
import time
from callboard.adapters.http.address_guard import AddressGuard
from callboard.adapters.http.curl import CurlTransport

def resolve(*_args):
    time.sleep(600)

transport = CurlTransport(1, 1, guard=AddressGuard((), resolve))
transport.begin(1, "POST", "http://slow.example/", (), b"x")
transport.close()
print("closed")
"""


def test_any_thread_may_wake_it_and_at_a_time():
    multi = CurlMulti(1)
    for wake in (multi.wake, lambda: multi.wake_at(0.0)):
        assert not select.select([multi], (), (), 0)[0]
        thread = threading.Thread(target=wake)
        thread.start()
        assert select.select([multi], (), (), patient(5))[0]
        thread.join()
        multi.run()
    multi.close()


def test_what_is_found_after_the_end_is_written_into_nobody_elses_descriptor():
    go, threads = threading.Event(), SimpleQueue()

    def resolve(_host, port, *_args):
        threads.put(threading.current_thread())
        go.wait(patient(20))
        return [answer("127.0.0.1", port)]

    transport = CurlTransport(1, 1, guard=AddressGuard(LOOPBACK, resolve))
    transport.begin(1, "POST", "http://slow.example/", (), b"x")
    thread = threads.get(timeout=patient(5))
    with freed_by(transport.close):
        go.set()
        thread.join(patient(10))
        assert not thread.is_alive()


def test_a_process_that_ends_waits_for_no_name():
    run = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=patient(30)
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "closed\n", "")
