"""A stand-in for the metadata service of EC2 machines (IMDSv2): a role's credentials, with faults."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.s3 import servers

TOKEN = "stand-in-token"
ROLE = "/latest/meta-data/iam/security-credentials/"


class Metadata(ThreadingHTTPServer):
    """Answers `per_second` requests each second, refuses the first `refused`, and has no role if `role` is empty."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.per_second: int | None = None
        self.refused = 0
        self.role = "worker"
        self.lifetime_seconds = 6 * 3600.0
        self.asked, self.throttled = 0, 0
        self._lock = threading.Lock()
        self._second = (0, 0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def admits(self) -> bool:
        """Count a request; return whether it is answered."""
        with self._lock:
            now = int(time.monotonic())
            second, count = self._second
            self._second = (now, count + 1 if second == now else 1)
            self.asked += 1
            refused = self.refused > 0 or (self.per_second is not None and self._second[1] > self.per_second)
            self.refused -= self.refused > 0
            self.throttled += refused
            return not refused


class _Handler(BaseHTTPRequestHandler):
    server: Metadata

    def do_PUT(self) -> None:
        self._answer(TOKEN if self.path == "/latest/api/token" else None)

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._answer(None, 401)
        elif self.path == ROLE and self.server.role:
            self._answer(self.server.role)
        elif self.path == ROLE + self.server.role and self.server.role:
            expiry = datetime.now(UTC) + timedelta(seconds=self.server.lifetime_seconds)
            keys = {"AccessKeyId": servers.KEY_ID, "SecretAccessKey": servers.SECRET, "Token": "", "Code": "Success"}
            self._answer(json.dumps({**keys, "Expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ")}))
        else:
            self._answer(None)

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, text: str | None, code: int = 404) -> None:
        if not self.server.admits():
            code, text = 503, None
        body = (text or "").encode()
        self.send_response(200 if text is not None else code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def metadata_service() -> Iterator[Metadata]:
    """Run the service in a thread."""
    server = Metadata()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
