"""Where mails end: a mail server on loopback that takes everything and keeps it."""

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

MOST_BYTES = 10_000_000


class MailSink:
    """The mails that came, in their order, each with the address it was sent to."""

    def __init__(self) -> None:
        self.url = ""
        self._lock = threading.Lock()
        self._mails: list[tuple[str, bytes]] = []

    def take(self, to: str, content: bytes) -> None:
        with self._lock:
            self._mails.append((to, content))

    def count(self) -> int:
        with self._lock:
            return len(self._mails)

    def to(self, address: str) -> list[EmailMessage]:
        with self._lock:
            mine = [content for to, content in self._mails if to == address]
        return [email.message_from_bytes(one, policy=email.policy.default) for one in mine]


@contextmanager
def taking_mails() -> Iterator[MailSink]:
    sink = MailSink()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _converse(self, sink)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        sink.url = f"smtp://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield sink
        finally:
            server.shutdown()


def _converse(handler: socketserver.StreamRequestHandler, sink: MailSink) -> None:
    """As little of RFC 5321 as a sender needs."""

    def say(line: str) -> None:
        handler.wfile.write(f"{line}\r\n".encode())

    to: list[str] = []
    say("220 sink")
    while line := handler.rfile.readline(2000):
        verb = line[:4].decode("ascii", "replace").upper()
        if verb == "QUIT":
            say("221 bye")
            return
        if verb == "RCPT":
            to.append(line.decode().partition("<")[2].partition(">")[0].lower())
        elif verb == "DATA":
            say("354 go on")
            content = _content(handler)
            for address in to:
                sink.take(address, content)
            to = []
        say("250 ok")


def _content(handler: socketserver.StreamRequestHandler) -> bytes:
    lines: list[bytes] = []
    while (line := handler.rfile.readline(MOST_BYTES)) not in (b".\r\n", b""):
        lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
    return b"".join(lines)
