"""A proxy before an S3 server that makes the network as bad as it is told to, and keeps what it saw and did."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from random import Random
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit

UPSTREAM_SECONDS = 60
LAST_HEADERS = ("connection", "transfer-encoding", "keep-alive")
"""Headers that are of one connection, and not for the next."""

ERROR = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>from the proxy</Message></Error>"
ANSWERS = {
    "busy": (503, b"SlowDown"),
    "broken": (500, b"InternalError"),
    "denied": (403, b"AccessDenied"),
    "archived": (403, b"InvalidObjectState"),
    "gone": (404, b"NoSuchKey"),
    "expired": (400, b"ExpiredToken"),
    "skewed": (403, b"RequestTimeTooSkewed"),
    "late error": (200, b"InternalError"),
}
PORTAL = b"<!DOCTYPE html><html><head><title>Guest network</title></head><body>Sign in</body></html>"
LAST_YEAR = "Wed, 21 Oct 2015 07:28:00 GMT"


@dataclass(frozen=True)
class Seen:
    """A request that came; the names of its headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Faults:
    """How many of the requests, as a fraction, meet which fate; seconds of waiting.

    reset: the connection is cut in the middle of the answer (what was asked for is done); busy and broken: 503 and 500;
    stall: nothing happens for `stall_seconds`.
    """

    reset: float = 0.0
    busy: float = 0.0
    broken: float = 0.0
    stall: float = 0.0
    stall_seconds: float = 3.0
    latency_seconds: float = 0.0


class Hold:
    """Keeps the first request that matches, or the second half of its content, from the server until it is released."""

    def __init__(self, matches: Callable[[Seen], bool], *, half: bool) -> None:
        self.matches, self.half = matches, half
        self.arrived, self.released, self.answered = threading.Event(), threading.Event(), threading.Event()
        self.status: int | None = None


class Proxy:
    """Stands before `upstream`. A request's fate is `rule`'s, else the next of `script`, else by chance, from a seed.

    Fates: pass, reset, lost (done, and never answered), busy, broken, denied (403), archived (403), expired, skewed (a clock
    that differs), portal (a sign-in page for any answer), elsewhere (a redirect to `other`), regionless (its region is left
    out), stall, gone (404), short (half of the content, as if it were all), late error (in an answer with status 200).
    """

    def __init__(self, upstream: str, seed: int = 0) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.faults = Faults()
        self.down = False
        self.other = ""
        self.script: deque[str] = deque()
        self.rule: Callable[[Seen], str | None] = lambda seen: None
        self.counts: Counter[str] = Counter()
        self.seen: list[Seen] = []
        self.failures: list[BaseException] = []
        self.closed = threading.Event()
        self.held: Hold | None = None
        self._random, self._lock = Random(seed), threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def fate(self, seen: Seen) -> str:
        """Keep a request and decide what becomes of it."""
        with self._lock:
            self.seen.append(seen)
            fate = "down" if self.down else self._held(seen) or self.rule(seen) or self._next()
            self.counts[fate] += 1
            return fate

    def hold(self, matches: Callable[[Seen], bool], *, half: bool = False) -> Hold:
        """Hold the next request that matches back."""
        self.held = Hold(matches, half=half)
        return self.held

    def _held(self, seen: Seen) -> str | None:
        if self.held is None or self.held.arrived.is_set() or not self.held.matches(seen):
            return None
        self.held.arrived.set()
        return "held"

    def _next(self) -> str:
        if self.script:
            return self.script.popleft()
        draw = self._random.random()
        for fate in ("reset", "busy", "broken", "stall"):
            draw -= getattr(self.faults, fate)
            if draw < 0:
                return fate
        return "pass"

    def expect(self, fates: Iterable[str]) -> None:
        """Forget what was seen, and say what becomes of the next requests."""
        with self._lock:
            self.seen.clear()
            self.counts.clear()
            self.script = deque(fates)

    @property
    def n_faults(self) -> int:
        """How many requests did not simply pass."""
        return self.counts.total() - self.counts["pass"]

    def requests(self, *methods: str) -> list[Seen]:
        """Return what was seen with one of these methods."""
        with self._lock:
            return [seen for seen in self.seen if seen.method in methods]

    def start(self) -> None:
        """Listen, in a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="proxy", daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut what is connected."""
        self.closed.set()
        if self.held is not None:
            self.held.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_all()


@contextmanager
def proxied(upstream: str, seed: int = 0) -> Iterator[Proxy]:
    """Run a proxy for as long as the block lasts; what it could not do for its own faults is raised."""
    proxy = Proxy(upstream, seed)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()
    if proxy.failures:
        raise proxy.failures[0]


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        self._live: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._live.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._live.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):  # OSError: a client that went away
            self.proxy.failures.append(error)

    def cut_all(self) -> None:
        """End every connection, so that no handler waits for another request."""
        for request in list(self._live):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    connection: socket.socket

    def relay(self) -> None:
        """Answer one request, or don't."""
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = proxy.fate(Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        proxy.closed.wait(proxy.faults.latency_seconds)
        if fate == "stall":
            proxy.closed.wait(proxy.faults.stall_seconds)
        if fate == "down":
            self._cut()
        elif fate in ANSWERS:
            status, code = ANSWERS[fate]
            headers = [("Content-Type", "application/xml")] + [("Date", LAST_YEAR)] * (fate == "skewed")
            self._answer(status, headers, ERROR % code)
        elif fate == "portal":
            self._answer(200, [("Content-Type", "text/html"), ("ETag", '"x"'), ("Last-Modified", LAST_YEAR)], PORTAL)
        elif fate == "elsewhere":
            self._answer(307, [("Location", f"{proxy.other}{self.path}")], b"")
        else:
            self._pass_on(body, fate)

    def _pass_on(self, body: bytes, fate: str) -> None:
        try:
            status, headers, content = self._fetch(body, self.server.proxy.held if fate == "held" else None)
        except (OSError, http.client.HTTPException):
            self._cut()
            return
        if fate == "regionless":
            headers = [(name, value) for name, value in headers if name.lower() != "x-amz-bucket-region"]
        if fate == "lost" or (fate == "reset" and not content):
            self._cut()
        elif fate == "reset":
            self._answer(status, headers, content, sent=len(content) // 2)
            self._cut()
        else:
            self._answer(status, headers, content[: len(content) // 2] if fate == "short" else content)

    def _fetch(self, body: bytes, hold: Hold | None) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.server.proxy.upstream, timeout=UPSTREAM_SECONDS)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in (*LAST_HEADERS, "expect"):
                    upstream.putheader(name, value)
            if hold is not None and not hold.half:
                hold.released.wait()
            upstream.endheaders(body[: len(body) // 2] if hold is not None and hold.half else body or None)
            if hold is not None and hold.half:
                hold.released.wait()
                upstream.send(body[len(body) // 2 :])
            answer = upstream.getresponse()
            if hold is not None:
                hold.status = answer.status
            return answer.status, answer.getheaders(), answer.read()
        finally:
            if hold is not None:
                hold.answered.set()
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        for name, value in headers:
            if name.lower() not in (*LAST_HEADERS, "content-length"):
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:sent])

    def _cut(self) -> None:
        """End the connection with a reset, as a machine does that went away."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing: `seen` has it."""

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815  the base class's names
