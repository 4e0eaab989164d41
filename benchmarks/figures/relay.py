"""A relay before a server that passes each request on some time after it came, and answers back at once.

One loop over raw sockets: it runs on the cores that are measured, and takes half of what asyncio's protocols take.
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

MOST_BYTES = 1 << 20


@contextmanager
def delayed(endpoint: str, seconds: float) -> Iterator[str]:
    """Run a relay before an http:// endpoint, in a process of its own; yield its endpoint."""
    with tempfile.NamedTemporaryFile("w+") as told:
        command = [sys.executable, "-m", "benchmarks.figures.relay", urlsplit(endpoint).netloc, str(seconds), told.name]
        process = subprocess.Popen(command)
        try:
            while not (port := Path(told.name).read_text().strip()):
                if process.poll() is not None:
                    raise RuntimeError("the relay did not start")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


class Relay:
    """Connections in pairs, the client's and the server's, and what waits to be passed on."""

    def __init__(self, upstream: tuple[str, int], seconds: float) -> None:
        self._upstream, self._seconds = upstream, seconds
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._clients: dict[int, socket.socket] = {}
        self._servers: dict[int, socket.socket] = {}
        self._peers: dict[socket.socket, socket.socket] = {}
        self._waiting: deque[tuple[float, socket.socket, bytes]] = deque()  # in order: the delay is always the same

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listener.getsockname()[1])

    def run(self) -> None:
        """Pass bytes on, for ever."""
        while True:
            pause = max(self._waiting[0][0] - time.monotonic(), 0) if self._waiting else None
            for number, _ in self._poll.poll(pause):
                if number == self._listener.fileno():
                    self._accept()
                elif (server := self._servers.get(number)) is not None:
                    self._pass(self._peers[server], _received(server))
                elif (client := self._clients.get(number)) is not None:
                    self._hold(client, _received(client))
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                _, server, data = self._waiting.popleft()
                self._pass(server, data)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._upstream)
        self._clients[client.fileno()], self._servers[server.fileno()] = client, server
        self._peers |= {client: server, server: client}
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(each, select.EPOLLIN)

    def _hold(self, client: socket.socket, data: bytes) -> None:
        self._waiting.append((time.monotonic() + self._seconds, self._peers[client], data))
        if not data:
            self._poll.unregister(client)

    def _pass(self, to: socket.socket, data: bytes) -> None:
        """Pass bytes on; none are the end of the connection, on both sides."""
        if to not in self._peers:  # it ended while they waited
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
        return connection.recv(MOST_BYTES)
    except OSError:
        return b""


if __name__ == "__main__":
    host, port = sys.argv[1].split(":")
    relay = Relay((host, int(port)), float(sys.argv[2]))
    Path(sys.argv[3]).write_text(str(relay.port))
    relay.run()
