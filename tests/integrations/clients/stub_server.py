"""A server of a few lines on the loopback, for what `responses` cannot do: sockets that fail."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class StubHandler(BaseHTTPRequestHandler):
    """Answers through the `script` of its server."""

    protocol_version = "HTTP/1.1"
    server: "StubServer"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        self.server.ports.append(self.client_address[1])
        self.server.script(self)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  named by http.server

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Hang up with a TCP reset, as a killed server does."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Quiet."""


class StubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Callable[[StubHandler], None]) -> None:
        super().__init__(("127.0.0.1", 0), StubHandler)
        self.script = script
        self.ports: list[int] = []  # of the client, one for each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(script: Callable[[StubHandler], None]) -> Iterator[StubServer]:
    server = StubServer(script)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port
