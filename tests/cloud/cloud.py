"""An AWS account in moto, in this process, behind a proxy that records each request and can refuse it.

moto creates no machines, never ends an EMR step, drops managed scaling and auto-termination, and ignores client tokens.
So tests assert on the recorded requests, the proxy honours client tokens, and an agent plays the machines.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cloud import price_list

REGION = "eu-west-3"
ACCOUNT = "123456789012"
CREDENTIAL = re.compile(r"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")
HOP = ("connection", "transfer-encoding", "keep-alive", "content-length")


@dataclass(frozen=True)
class Asked:
    """A recorded request: the service and region of its signature, its operation (if named) and its parameters."""

    service: str
    region: str
    operation: str
    said: dict[str, Any]
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def is_s3(self) -> bool:
        return self.service == "s3"


@dataclass
class Refusal:
    """An error response in place of the service's. `lost`: the request is carried out, but never answered."""

    code: str
    status: int = 400
    message: str = "from the proxy"
    lost: bool = False


@dataclass
class Proxy:
    """The proxy in front of moto. `rule` returns the refusal of a request, or None to let it pass."""

    upstream: str
    rule: Callable[[Asked], Refusal | None] = lambda asked: None
    asked: list[Asked] = field(default_factory=list)
    refused: list[Asked] = field(default_factory=list)
    tokens: dict[tuple[str, str], tuple[int, list[tuple[str, str]], bytes]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def of(self, operation: str) -> list[Asked]:
        """Return the requests of an operation."""
        return [each for each in self.asked if each.operation == operation]

    def clear(self) -> None:
        self.rule = lambda asked: None
        self.asked.clear()
        self.refused.clear()
        self.tokens.clear()


def read(method: str, path: str, headers: dict[str, str], body: bytes) -> Asked:
    """Parse a request in any of AWS's protocols."""
    signed = CREDENTIAL.search(headers.get("authorization", ""))
    region, service = signed.groups() if signed else ("", "")
    operation, said = "", {}
    if "x-amz-target" in headers:
        operation, said = headers["x-amz-target"].rpartition(".")[2], json.loads(body or b"{}")
    elif headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        said = {key: values[0] for key, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        operation = said.get("Action", "")
    elif service == "emr-serverless":
        operation = _rest_operation(method, urlsplit(path).path)
        said = json.loads(body or b"{}")
    return Asked(service, region, operation, said, method, path, headers, body)


def _rest_operation(method: str, path: str) -> str:
    parts = path.strip("/").split("/")
    if method == "POST":
        names = {
            1: "CreateApplication",
            3: "StartJobRun" if parts[-1] == "jobruns" else f"{parts[-1].title()}Application",
        }
        return names.get(len(parts), "")
    verb = {"GET": "Get", "DELETE": "Delete", "PATCH": "Update"}[method]
    what = {1: "Applications", 2: "Application", 3: "JobRuns", 4: "JobRun"}[len(parts)]
    if (verb, what) == ("Delete", "JobRun"):
        return "CancelJobRun"
    return f"{'List' if what.endswith('s') else verb}{what}"


@contextmanager
def proxied(upstream: str) -> Iterator[tuple[Proxy, str]]:
    """Run a proxy; yield it and its URL."""
    proxy = Proxy(urlsplit(upstream).netloc)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = {name.lower(): value for name, value in self.headers.items()}
            asked = read(self.command, self.path, given, body)
            with proxy.lock:
                proxy.asked.append(asked)
                refusal = proxy.rule(asked)
                if refusal is not None:
                    proxy.refused.append(asked)
            if refusal is not None and not refusal.lost:
                self._answer(refusal.status, *_error(asked, refusal))
                return
            status, headers, content = _forward(proxy, asked)
            if refusal is not None:
                self.close_connection = True
                self.connection.close()
                return
            self._answer(status, headers, content)

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            length = next((value for name, value in headers if name.lower() == "content-length"), None)
            for name, value in headers:
                if name.lower() not in HOP:
                    self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = relay  # noqa: N815  the base class's names

    return Handler


def _forward(proxy: Proxy, asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
    """Forward a request to moto; a repeated client token gets its first answer again."""
    if asked.operation == "ListSecurityConfigurations":  # which moto lacks, though it has the configurations
        return 200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(_configurations()).encode()
    if asked.operation == "GetProducts":  # moto has no price list
        return 200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(price_list.answer(asked.said)).encode()
    token = asked.said.get("ClientToken") or asked.said.get("clientToken")
    if token:
        with proxy.lock:
            key = (asked.operation, token)
            if key not in proxy.tokens:
                answer = _fetch(proxy, asked)
                if answer[0] >= 300:
                    return answer
                proxy.tokens[key] = answer
            return proxy.tokens[key]
    return _fetch(proxy, asked)


def emr_backends() -> list[Any]:
    """Return moto's EMR backends of all regions: moto reads the region from the host name, which the proxy hides."""
    from moto.backends import get_backend

    return list(get_backend("emr")[ACCOUNT].values())


def _configurations() -> dict[str, Any]:
    found = [each for backend in emr_backends() for each in backend.security_configurations.values()]
    listed = [{"Name": each.name, "CreationDateTime": each.creation_date_time.timestamp()} for each in found]
    return {"SecurityConfigurations": listed}


def _fetch(proxy: Proxy, asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
    upstream = http.client.HTTPConnection(proxy.upstream, timeout=60)
    try:
        upstream.putrequest(asked.method, asked.path, skip_host=True, skip_accept_encoding=True)
        for name, value in asked.headers.items():
            if name not in ("connection", "expect"):
                upstream.putheader(name, value)
        upstream.endheaders(asked.body or None)
        answer = upstream.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        upstream.close()


def _error(asked: Asked, refusal: Refusal) -> tuple[list[tuple[str, str]], bytes]:
    """Return an error response in the protocol of the service."""
    if asked.service == "ec2":
        error = f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
        return [("Content-Type", "text/xml")], f"<Response><Errors>{error}</Errors></Response>".encode()
    if asked.is_s3:
        return [("Content-Type", "application/xml")], f"<Error><Code>{refusal.code}</Code></Error>".encode()
    if asked.service == "iam":
        error = f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
        return [("Content-Type", "text/xml")], f"<ErrorResponse>{error}</ErrorResponse>".encode()
    error_body = {"__type": refusal.code, "message": refusal.message}
    return [("Content-Type", "application/json"), ("x-amzn-ErrorType", refusal.code)], json.dumps(error_body).encode()


def user_data(asked: Asked) -> str:
    """Return the user-data of a RunInstances."""
    return base64.b64decode(asked.said["UserData"]).decode()
