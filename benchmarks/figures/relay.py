"""A TCP relay that delays each request by a fixed time and passes responses on at once.

One loop over raw sockets: it runs on the measured cores, and takes half the CPU time of asyncio's protocols.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

MAX_BYTES = 1 << 20


@contextmanager
def delayed(endpoint: str, seconds: float) -> Iterator[str]:
    """Run a relay in front of an http:// endpoint, in its own process; yield the relay's endpoint."""
    with tempfile.NamedTemporaryFile("w+") as port_file:
        command = [
            sys.executable,
            "-m",
            "benchmarks.figures.relay",
            urlsplit(endpoint).netloc,
            str(seconds),
            port_file.name,
        ]
        process = subprocess.Popen(command)
        try:
            while not (port := Path(port_file.name).read_text().strip()):
                if process.poll() is not None:
                    raise RuntimeError("the relay did not start")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


class Relay:
    """Pairs of client and server connections, and the delayed bytes."""

    def __init__(self, upstream: tuple[str, int], seconds: float) -> None:
        self._upstream, self._seconds = upstream, seconds
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._clients: dict[int, socket.socket] = {}
        self._servers: dict[int, socket.socket] = {}
        self._peers: dict[socket.socket, socket.socket] = {}
        self._waiting: deque[tuple[float, socket.socket, bytes]] = deque()  # in order: the delay is constant

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return int(self._listener.getsockname()[1])

    def run(self) -> None:
        """Relay bytes forever."""
        while True:
            pause = max(self._waiting[0][0] - time.monotonic(), 0) if self._waiting else None
            for number, _ in self._poll.poll(pause):
                if number == self._listener.fileno():
                    self._accept()
                elif (server := self._servers.get(number)) is not None:
                    self._send(self._peers[server], _received(server))
                elif (client := self._clients.get(number)) is not None:
                    self._delay(client, _received(client))
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                _, server, data = self._waiting.popleft()
                self._send(server, data)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._upstream)
        self._clients[client.fileno()], self._servers[server.fileno()] = client, server
        self._peers |= {client: server, server: client}
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(each, select.EPOLLIN)

    def _delay(self, client: socket.socket, data: bytes) -> None:
        self._waiting.append((time.monotonic() + self._seconds, self._peers[client], data))
        if not data:
            self._poll.unregister(client)

    def _send(self, to: socket.socket, data: bytes) -> None:
        """Send bytes; no bytes mean that the connection has ended, and both sides are closed."""
        if to not in self._peers:  # closed meanwhile
            return
        with suppress(OSError):
            if data:
                to.sendall(data)
                return
        for each in (to, self._peers[to]):
            self._clients.pop(each.fileno(), None)
            self._servers.pop(each.fileno(), None)
            del self._peers[each]
            each.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(MAX_BYTES)
    except OSError:
        return b""


if __name__ == "__main__":
    host, port = sys.argv[1].split(":")
    relay = Relay((host, int(port)), float(sys.argv[2]))
    Path(sys.argv[3]).write_text(str(relay.port))
    relay.run()
