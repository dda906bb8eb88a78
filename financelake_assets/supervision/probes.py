"""Health probes: does a process answer its own protocol?

Input: an address. Output: ``None`` if the process answers, otherwise the reason. An open port is not enough, because
the kernel accepts connections for a process that hangs.
"""

from __future__ import annotations

import socket
import ssl
import struct
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

Probe = Callable[[], str | None]

TIMEOUT = 5.0
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">IBI", 0x04, 0, 0)  # with an empty SETTINGS frame


def kafka(host: str, port: int, ca_file: Path | None = None) -> str | None:
    """Ask a Kafka broker for its API versions (request 18, version 0), over TLS if a certificate authority is given.

    A broker answers this before a client has logged in.
    """
    body = struct.pack(">hhih", 18, 0, 1, -1)  # api key, version, correlation id, no client id
    try:
        context = None if ca_file is None else ssl.create_default_context(cafile=ca_file)
    except OSError as problem:
        return f"cannot be checked with the certificates of {ca_file}: {problem}"
    answer = _exchange(host, port, struct.pack(">i", len(body)) + body, 10, context)
    if isinstance(answer, str):
        return answer
    _, correlation, error = struct.unpack(">iih", answer)
    return None if (correlation, error) == (1, 0) else f"answered an API versions request with error {error}"


def grpc(host: str, port: int, *, tls: bool = False) -> str | None:
    """Open an HTTP/2 connection, as gRPC does, and wait for the server's SETTINGS frame."""
    context = None
    if tls:  # whether it lives, not who it is: its certificate may be for a name that only others know it by
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
    return _settings_frame(_exchange(host, port, _HTTP2_HELLO, 9, context))


def grpc_socket(path: Path) -> str | None:
    """As ``grpc``, of a server on a Unix socket."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(path))
            return _settings_frame(_answer(connection, _HTTP2_HELLO, 9) or f"closes connections at {path}")
    except OSError as error:
        return f"does not answer at {path}: {error}"


def _settings_frame(answer: bytes | str) -> str | None:
    if isinstance(answer, str):
        return answer
    return None if answer[3] == 0x04 else "does not speak HTTP/2"


def http(url: str) -> str | None:
    """GET a page and expect it to succeed."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310  # http of our own address
            response.read(1)
    except urllib.error.HTTPError as error:
        return f"answers {error.code} at {url}"
    except OSError as error:
        return f"does not answer at {url}: {getattr(error, 'reason', error)}"
    return None


def _exchange(host: str, port: int, sent: bytes, expected: int, context: ssl.SSLContext | None = None) -> bytes | str:
    """Send bytes; return the first ``expected`` bytes of the answer, or the reason why there are none."""
    try:
        with _connection(host, port, context) as connection:
            return _answer(connection, sent, expected) or f"closes connections at {host}:{port}"
    except OSError as error:
        return f"does not answer at {host}:{port}: {error}"


def _answer(connection: socket.socket, sent: bytes, expected: int) -> bytes | None:
    """The first bytes of the answer; ``None`` where the connection ends before they have come."""
    connection.sendall(sent)
    received = b""
    while len(received) < expected:
        part = connection.recv(expected - len(received))
        if not part:
            return None
        received += part
    return received


def _connection(host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    plain = socket.create_connection((host, port), timeout=TIMEOUT)
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except OSError:
        plain.close()
        raise
