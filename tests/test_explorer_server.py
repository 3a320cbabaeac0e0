"""The explorer's server: its policy on every answer, and no word about clients that leave, stall or talk nonsense."""

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supermask.analysis.explorer.server import MOST_CONNECTIONS, SiteServer

SITE = {"index.html": b"<p>page", "large.bin": bytes(8 << 20)}
POLICY = ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy")


@pytest.fixture
def server(request) -> Iterator[SiteServer]:
    yield from running(getattr(request, "param", 5.0))


@pytest.fixture(scope="module")
def patient() -> Iterator[SiteServer]:
    yield from running(0.5)


def running(silence: float) -> Iterator[SiteServer]:
    with SiteServer(SITE, silence=silence) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer(server: SiteServer, request: bytes) -> bytes:
    """All that comes back for these bytes, until the server hangs up."""
    with socket.create_connection(server.server_address[:2], timeout=10) as client:
        client.settimeout(10)
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(1 << 16), b""))
        except (ConnectionResetError, BrokenPipeError):  # it hung up on what it did not read
            return b""


def checked(content: bytes) -> int:
    """The status of an answer, which must carry the policy."""
    head, _, _ = content.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first.startswith("HTTP/1.0 ")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for name in POLICY:
        assert name in headers
    return int(first.split()[1])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.0\r\nHost: HOST\r\n\r\n", 200),
        (b"GET /index.html?a=1 HTTP/1.1\r\nHost: HOST\r\n\r\n", 200),
        (b"HEAD /large.bin HTTP/1.1\r\nHost: HOST\r\n\r\n", 200),
        (b"GET /nothing HTTP/1.1\r\nHost: HOST\r\n\r\n", 404),
        (b"GET /../index.html HTTP/1.1\r\nHost: HOST\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\n\r\n", 421),
        (b"GET /\r\n\r\n", 421),
        (b"GET http://[ HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
        (b"GET http://[::1 HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
        (b"GET /%00%ff HTTP/1.1\r\nHost: HOST\r\n\r\n", 404),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc", 501),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / nonsense HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/x\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"\xff\xfe<script>\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_every_answer_carries_the_policy(patient, capfd, request_, status):
    host = f"127.0.0.1:{patient.server_address[1]}".encode()
    content = answer(patient, request_.replace(b"HOST", host))
    assert checked(content) == status
    if status != 200:
        assert b"script" not in content.partition(b"\r\n\r\n")[2], "nothing of the request is repeated"
    assert capfd.readouterr() == ("", "")


def test_a_line_without_end_is_refused(patient, capfd):
    content = answer(patient, b"G" * 66_000)
    assert content == b"" or checked(content) == 414, "or the rest of it made the system hang up"
    assert capfd.readouterr() == ("", "")


@given(st.binary(max_size=200))
@example(b"")
@example(b"\r\n\r\n")
@example(b"GET")
@example(b"GET \x00 HTTP/1.1\r\nHost\r\n\r\n")
def test_no_bytes_disturb_it(patient, request_):
    content = answer(patient, request_)
    assert content == b"" or checked(content) >= 400
    assert checked(answer(patient, b"HEAD / HTTP/1.0\r\nHost: localhost:%d\r\n\r\n" % patient.server_address[1])) == 200


def test_clients_that_leave_are_not_mentioned(server, capfd):
    for sent in (b"", b"GET / HT", b"GET /large.bin HTTP/1.0\r\nHost: localhost:%d\r\n\r\n" % server.server_address[1]):
        for _ in range(5):
            client = socket.create_connection(server.server_address[:2])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
            client.sendall(sent)
            time.sleep(0.01)
            client.close()
    wait_until(lambda: not server._connections)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("server", [0.3], indirect=True)
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.0\r\n"])
def test_an_idle_connection_is_closed(server, capfd, sent):
    with socket.create_connection(server.server_address[:2], timeout=10) as client:
        client.sendall(sent)
        started = time.monotonic()
        assert client.recv(100) == b""
        assert 0.2 < time.monotonic() - started < 5.0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("server", [60.0], indirect=True)
def test_connections_are_bounded_and_the_newest_is_served(server, capfd):
    threads = threading.active_count()
    idle = [socket.create_connection(server.server_address[:2], timeout=10) for _ in range(3 * MOST_CONNECTIONS)]
    host = b"localhost:%d" % server.server_address[1]
    assert checked(answer(server, b"GET / HTTP/1.0\r\nHost: " + host + b"\r\n\r\n")) == 200
    wait_until(lambda: threading.active_count() - threads <= MOST_CONNECTIONS)
    for client in idle:
        client.close()
    wait_until(lambda: not server._connections)
    assert capfd.readouterr() == ("", "")


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.01)
