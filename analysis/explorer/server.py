"""Local web server for one site. It serves the site's files from memory and never reads a folder."""

import socket
import sys
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from supermask.analysis.explorer.site import POLICY, content_type
from supermask.analysis.system.errors import UsageError

ADDRESS = "127.0.0.1"

SECONDS_OF_SILENCE = 10.0
"""How long a client may stay silent, and how long it may take to read a response."""

MOST_CONNECTIONS = 64
"""Most clients served at once, one thread each. One more closes the oldest connection."""


class SiteServer(ThreadingHTTPServer):
    """Serves a site's files on the loopback address. Port 0 takes a free one.

    Any path that is not one of the site's is answered 'not found'; no folder is ever read. A request that names another
    host is refused, which prevents DNS rebinding. A client that disconnects, stalls or sends an invalid request is
    dropped silently.
    """

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, site: Mapping[str, bytes], port: int = 0, silence: float = SECONDS_OF_SILENCE) -> None:
        self.site = {f"/{path}": content for path, content in site.items()}
        self.site["/"] = self.site["/index.html"]
        self.silence = silence
        self._connections: dict[socket.socket, None] = {}  # the oldest first
        self._lock = threading.Lock()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port} cannot be used: {error}; 0 takes a free one") from None

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in its own thread; close the oldest connection if there are too many."""
        with self._lock:
            self._connections[request] = None
            oldest = next(iter(self._connections)) if len(self._connections) > MOST_CONNECTIONS else None
            if oldest is not None:
                del self._connections[oldest]
                _hang_up(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection, and close it."""
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report a fault of the server itself; ignore clients that disconnected or stalled."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: SiteServer
    server_version, sys_version = "supermask", ""
    default_request_version = "HTTP/1.0"  # the base class's HTTP/0.9 has responses without headers

    def setup(self) -> None:
        """Set the client's time limit."""
        self.request.settimeout(self.server.silence)
        super().setup()

    def do_GET(self) -> None:
        """Send a file of the site."""
        self._answer()

    def do_HEAD(self) -> None:
        """Send a file's headers."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Log nothing: the terminal belongs to the user."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send a status code and its name only: nothing of the request is echoed."""
        status = HTTPStatus(code)
        self._send(status, "text/plain; charset=utf-8", f"{status.value} {status.phrase}\n".encode())

    def _answer(self) -> None:
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        try:
            path = unquote(urlsplit(self.path).path)
        except ValueError:  # such as http://[
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        content = self.server.site.get(path)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._send(HTTPStatus.OK, content_type("index.html" if path == "/" else path), content)

    def _send(self, status: HTTPStatus, media_type: str, content: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Server", self.version_string())
        self.send_header("Date", self.date_time_string())
        self.send_header("Connection", "close")
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def end_headers(self) -> None:
        """Add the content security policy to every response, errors included."""
        self.send_header("Content-Security-Policy", f"{POLICY}; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended already
        return
