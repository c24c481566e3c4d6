"""The endpoints that everything is delivered to: an nginx of our own, which notes each arrival.

It is one process, far faster than what is measured. Its Lua module reads the body as any receiver
must, takes the event's number and when it was published from it, and the time with microseconds.
"""

import shutil
import subprocess
import time
from pathlib import Path

import psutil
from attrs import frozen

from callboard.supervision import die_with_parent
from services import free_port

MODULES = Path("/usr/lib/nginx/modules")
PROGRAMS = ("nginx", "/usr/sbin/nginx")
ENDPOINTS = 500
SLOW_S = 0.2
FAILING_EVERY = 20
START_S = 20.0
LOOK_S = 0.05

CONFIG = """\
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors warn;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 2m;
    keepalive_requests 1000000;
    keepalive_timeout 600;
    tcp_nodelay on;
    log_format arrival '$arrival $server_addr';
    init_by_lua_block {{
        local ffi = require "ffi"
        ffi.cdef "typedef struct {{ long s; long ns; }} moment; int clock_gettime(int, moment *);"
        local moment, seen = ffi.new("moment"), 0
        function now_us()  -- CLOCK_MONOTONIC, as Python's time.monotonic
            ffi.C.clock_gettime(1, moment)
            return tonumber(moment.s) * 1000000 + math.floor(tonumber(moment.ns) / 1000)
        end
        function take(answer, pause_s)
            ngx.req.read_body()
            local arrived, body = now_us(), ngx.req.get_body_data() or ""
            if pause_s then ngx.sleep(pause_s) end
            ngx.var.arrival = string.format("%d %s %s %d", arrived,
                string.match(body, '"published": ?(%d+)') or 0,
                string.match(body, '"number": ?(%d+)') or -1, answer)
            if answer ~= 200 then ngx.status = answer end
            ngx.header["Content-Length"] = 2
            ngx.print("ok")
        end
        function take_most()
            seen = seen + 1
            return take(seen % {failing_every} == 0 and 500 or 200)
        end
    }}
    server {{
        {listen}
        access_log {folder}/arrivals arrival buffer=64k flush=50ms;
        location / {{ set $arrival ""; content_by_lua_block {{ take(200) }} }}
        location /slow {{ set $arrival ""; content_by_lua_block {{ take(200, {slow_s}) }} }}
        location /failing {{ set $arrival ""; content_by_lua_block {{ take_most() }} }}
        location /ready {{ access_log off; return 200; }}
    }}
}}
"""


@frozen
class Arrival:
    """One request; both times in microseconds of the monotonic clock, which processes share."""

    at_us: int
    published_us: int
    number: int
    status: int
    endpoint: str


class Receiver:
    """Started by `start`, ended by `close`."""

    def __init__(self, folder: Path) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None or not (MODULES / "ngx_http_lua_module.so").exists():
            raise SystemExit("nginx with its Lua module is not installed: `make services`")
        self._folder, self._port = folder, free_port()
        self._arguments = [program, "-p", folder, "-c", folder / "conf", "-e", folder / "errors"]
        (folder / "conf").write_text(
            CONFIG.format(
                modules=MODULES,
                folder=folder,
                slow_s=SLOW_S,
                failing_every=FAILING_EVERY,
                listen="\n        ".join(f"listen {self._host(n)};" for n in range(ENDPOINTS)),
            )
        )

    def start(self) -> None:
        """Start it; returns when it answers."""
        self._server = subprocess.Popen(self._arguments, preexec_fn=die_with_parent)
        self.process = psutil.Process(self._server.pid)
        arrivals, give_up = self._folder / "arrivals", time.monotonic() + START_S
        while not arrivals.exists():
            if self._server.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"nginx does not run:\n{(self._folder / 'errors').read_text()}")
            time.sleep(0.01)
        self._log = arrivals.open("rb")

    def close(self) -> None:
        self._server.terminate()
        self._server.wait(10)
        self._log.close()

    def url(self, manner: str = "ok", endpoint: int = 0) -> str:
        """Where to post: `ok`, `slow` (answers after 200 ms) or `failing` (each 20th with 500).

        There are 500 endpoints, each with an address of its own.
        """
        return f"http://{self._host(endpoint)}/{manner}"

    def wait_for(self, arrivals: int, timeout_s: float) -> list[Arrival]:
        """Those that came since the last time, when they are at least so many.

        Raises TimeoutError, which says how many came.
        """
        lines, give_up = self._log.read(), time.monotonic() + timeout_s
        while (came := lines.count(b"\n")) < arrivals:
            if time.monotonic() > give_up:
                raise TimeoutError(f"of {arrivals} requests {came} came")
            time.sleep(LOOK_S)
            lines += self._log.read()
        while lines and not lines.endswith(b"\n"):  # the log is written in blocks
            time.sleep(LOOK_S)
            lines += self._log.read()
        return list(map(_arrival, lines.decode().splitlines()))

    def _host(self, endpoint: int) -> str:
        return f"127.1.{endpoint // 250}.{endpoint % 250 + 1}:{self._port}"


def _arrival(line: str) -> Arrival:
    at_us, published_us, number, status, endpoint = line.split()
    return Arrival(int(at_us), int(published_us), int(number), int(status), endpoint)
