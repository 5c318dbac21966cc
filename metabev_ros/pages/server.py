"""Serves the live page: read only, to this machine unless told otherwise.

A page of somebody else's, open in the same browser, must not read what the vehicle sees. It could
by letting its own name resolve to this machine (DNS rebinding), or by asking across origins.
Therefore a request is answered only if it names this server by an address, or by a name that was
allowed, and comes from no other origin.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
import threading
import time
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from metabev_ros.errors import ConfigError, OutputError, clean_text

MOST_VIEWERS = 12  # connections at once; a page holds two
PERIOD = 0.2  # seconds between two states of a page
PATIENCE = 10.0  # seconds without progress after which a connection is ended
HEADERS = {
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
}


class LiveSource(Protocol):
    """The origin of the page's content; called by several threads."""

    def plain(self) -> dict[str, object]:
        """The state as JSON takes it."""
        ...

    def ground(self) -> bytes | None:
        """A JPEG; None while there is none."""
        ...

    def cameras(self) -> bytes | None:
        """A JPEG; None while there is none."""
        ...


class PageServer:
    """Serves one page, from a thread of its own.

    Args:
        source: asked for every request.
        page: the HTML.
        host: address that is listened at.
        port: 0 takes a free one.
        names: by which browsers may call this machine, beside its addresses.

    Raises:
        ConfigError: for a port that there is not.
        OutputError: where nothing can listen there.
    """

    def __init__(
        self, source: LiveSource, page: str, host: str, port: int, names: Iterable[str] = ()
    ) -> None:
        if not 0 <= port < 2**16:
            raise ConfigError('port', '0..65535', str(port))
        self._is_closing = threading.Event()
        allowed = frozenset({'localhost', *(name.lower().rstrip('.') for name in names)})
        handler = _handler(source, page.encode(), allowed, self._is_closing)
        try:
            self._server = _server_class(host)((host, port), handler)
        except OSError as error:
            raise OutputError(
                f'{clean_text(host)}:{port}',
                'an address and a port to listen at',
                clean_text(error.strerror or error),
                'choose another one with --port',
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,))
        self._thread.start()

    @property
    def address(self) -> str:
        """The address that a browser on this machine opens."""
        host, port = self._server.server_address[:2]
        text = str(host)
        if ipaddress.ip_address(text.partition('%')[0]).is_unspecified:
            text = '127.0.0.1'
        return f'http://{f"[{text}]" if ":" in text else text}:{port}/'

    def close(self) -> None:
        """End all connections and stop listening."""
        self._is_closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a server at an address."""
    if host.lower() == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_called_rightly(host: str | None, origin: str | None, names: Iterable[str]) -> bool:
    """Tell whether a request was meant for this server.

    Args:
        host, origin: headers of the request; None where it has none.
        names: that are allowed beside addresses.
    """
    if not host:
        return False
    try:
        name = urlsplit(f'//{host}').hostname or ''
    except ValueError:
        return False
    if name.rstrip('.') not in names:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
    return origin is None or origin.lower() == f'http://{host.lower()}'


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    """A server of bounded threads, for an address of this family."""
    viewers = threading.BoundedSemaphore(MOST_VIEWERS)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        address_family = socket.AF_INET6 if ':' in host else socket.AF_INET

        def process_request(self, request: Any, client_address: Any) -> None:
            if viewers.acquire(blocking=False):
                super().process_request(request, client_address)
            else:
                self.shutdown_request(request)

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:
                super().process_request_thread(request, client_address)
            finally:
                viewers.release()

        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exc_info()[1], OSError):  # else: the browser went away
                super().handle_error(request, client_address)

    return Server


def _handler(
    source: LiveSource,
    page: bytes,
    names: frozenset[str],
    is_closing: threading.Event,
) -> type[BaseHTTPRequestHandler]:
    """The class that answers; http.server makes an object of it for every connection."""

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE
        server_version, sys_version = 'metabev', ''

        def do_GET(self) -> None:
            host, origin = self.headers.get('Host'), self.headers.get('Origin')
            if not is_called_rightly(host, origin, names):
                self._answer(HTTPStatus.FORBIDDEN, 'text/plain', _FORBIDDEN)
                return
            self._look()

        def _look(self) -> None:
            path = urlsplit(self.path).path
            if path == '/':
                self._answer(HTTPStatus.OK, 'text/html; charset=utf-8', page)
            elif path == '/state':
                self._answer(HTTPStatus.OK, 'application/json', _as_bytes(source))
            elif path == '/events':
                self._events()
            elif path in ('/ground.jpg', '/cameras.jpg'):
                picture = source.ground() if path == '/ground.jpg' else source.cameras()
                if picture is None:
                    self._answer(HTTPStatus.NOT_FOUND, 'text/plain', b'nothing yet\n')
                else:
                    self._answer(HTTPStatus.OK, 'image/jpeg', picture)
            else:
                self._answer(HTTPStatus.NOT_FOUND, 'text/plain', b'no such page\n')

        def _events(self) -> None:
            """States as server-sent events, until the browser goes."""
            self.send_response(HTTPStatus.OK)
            for name, value in {'Content-Type': 'text/event-stream', **HEADERS}.items():
                self.send_header(name, value)
            self.end_headers()
            while not is_closing.is_set():
                self.wfile.write(b'data: ' + _as_bytes(source) + b'\n\n')
                self.wfile.flush()
                time.sleep(PERIOD)

        def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
            self.send_response(status)
            head = {'Content-Type': kind, 'Content-Length': str(len(content)), **HEADERS}
            for name, value in head.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the terminal belongs to the command."""

    return Handler


_FORBIDDEN = (
    b'This page is served to requests that name this machine by its address, and that come from '
    b'no other page. A name is allowed with --allow-name.\n'
)


def _as_bytes(source: LiveSource) -> bytes:
    return json.dumps(source.plain(), separators=(',', ':'), allow_nan=False).encode()
