"""A server for one site on this machine alone: it holds the site's files in memory and knows of no others."""

from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from analysis.errors import UsageError
from analysis.explorer.site import POLICY, content_type

ADDRESS = "127.0.0.1"


class SiteServer(ThreadingHTTPServer):
    """Serves a site's files on the loopback address. Port 0 takes a free one.

    What is not one of the site's paths is not found, whatever the path looks like: no folder is ever read. A request
    that names another host is refused, so that no other page can reach it by a name that it made point here.
    """

    daemon_threads = True

    def __init__(self, site: Mapping[str, bytes], port: int = 0) -> None:
        self.site = {f"/{path}": content for path, content in site.items()}
        self.site["/"] = self.site["/index.html"]
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port} cannot be used: {error}; 0 takes a free one") from None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: SiteServer
    server_version, sys_version = "supermask", ""

    def do_GET(self) -> None:
        """Answers with a file of the site."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Answers with a file's headers."""
        self._answer(with_content=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Says nothing: the terminal is the user's."""

    def _answer(self, with_content: bool) -> None:
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path = unquote(urlsplit(self.path).path)
        content = self.server.site.get(path)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type("index.html" if path == "/" else path))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def end_headers(self) -> None:
        """Every answer, errors too, carries the policy."""
        self.send_header("Content-Security-Policy", f"{POLICY}; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()
