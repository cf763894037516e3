"""The page's server: loopback only, known paths only, one model behind it.

A local server can be reached by every page that the user's browser has open. So names other than this machine's
are refused (DNS rebinding), requests that change something must come from our own page, and the page may load
nothing from elsewhere.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import re
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgraph.errors import RunError, UsageError

if TYPE_CHECKING:
    from mmgraph.demo.studio import Studio
    from mmgraph.demo.worker import Job, Worker

HOST = "127.0.0.1"
MAX_UPLOAD = 5 * 2**20
MAX_JSON = 2**20
HEARTBEAT = 1.0
"""Seconds without an event after which the listener is told that work goes on."""
EXAMPLES_WITHIN = 10.0
"""Seconds that a request for the examples waits for the data set."""

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{f"/{name}": (name, "text/javascript; charset=utf-8") for name in ("page.js", "parts.js", "draw.js", "ask.js")},
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
OWN_ONLY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT_ONLY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"

_OUR_NAMES = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")


class RefusedError(Exception):
    """A request that is not served, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class DemoServer(ThreadingHTTPServer):
    """Listens at once, serves when `open` has given it a model.

    Args:
        port: Port on the loopback interface; 0 takes a free one.

    Raises:
        UsageError: If the port is taken or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would let two servers share a port
    studio: Studio
    worker: Worker

    def __init__(self, port: int) -> None:
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} is in use, perhaps by another demo. Stop it, or name another port by --port N "
                    "(0 takes a free one)."
                ) from error
            raise UsageError(f"port {port} cannot be used: {error.strerror}. Name another by --port N.") from error
        self.facts: Mapping[str, Any] = {}
        self.report: Path | None = None
        self.debug = False
        self.examples: dict[str, Any] = {"ready": False}
        self.examples_ready = threading.Event()

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def open(
        self,
        studio: Studio,
        facts: Mapping[str, Any],
        *,
        offers: Callable[[], Mapping[str, Any]],
        report: Path | None = None,
        debug: bool = False,
    ) -> None:
        """Take the model that the page shows.

        Args:
            studio: The model at work.
            facts: What the page's head says.
            offers: Loads the examples from the run's data; called in a thread of its own.
            report: The run's report, if it has one.
            debug: Print tracebacks in the terminal.
        """
        from mmgraph.demo.worker import Worker

        self.studio, self.facts, self.report, self.debug = studio, facts, report, debug
        self.worker = Worker(debug=debug)
        threading.Thread(target=self._load, args=(offers,), name="mmgraph-demo-data", daemon=True).start()

    def _load(self, offers: Callable[[], Mapping[str, Any]]) -> None:
        from mmgraph.demo.worker import report

        try:
            self.examples = {"ready": True, **offers()}
        except (UsageError, RunError) as error:
            self.examples = {"ready": True, "missing": str(error)}
        except Exception as error:
            self.examples = {"ready": True, "missing": report(error, self.debug)}
        self.examples_ready.set()

    def close(self) -> None:
        """Stop work and listening."""
        self.server_close()
        if hasattr(self, "worker"):
            self.worker.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of listeners that went away."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request, then closes: a stream ends with its connection."""

    server: DemoServer
    timeout = 30
    server_version = "mmgraph"
    sys_version = ""

    def do_GET(self) -> None:
        """Serve the page, what it says about the run, or the report."""
        self._guarded(self._get)

    def do_POST(self) -> None:
        """Take a picture, or draw or answer as a stream of JSON lines."""
        self._guarded(self._post)

    def _get(self) -> None:
        path = self.path.partition("?")[0]
        if path in FILES:
            name, kind = FILES[path]
            self._send(200, resources.files("mmgraph.demo").joinpath(name).read_bytes(), kind)
        elif path == "/about":
            self._send_json(200, self.server.facts)
        elif path == "/examples":
            self.server.examples_ready.wait(EXAMPLES_WITHIN)
            self._send_json(200, self.server.examples)
        elif path == "/report" and self.server.report is not None:
            self._send(200, self.server.report.read_bytes(), "text/html; charset=utf-8", policy=REPORT_ONLY)
        else:
            raise RefusedError(404, "there is nothing at this address.")

    def _post(self) -> None:
        from mmgraph.demo import pixels, requests
        from mmgraph.demo.worker import Job

        studio = self.server.studio
        self._check_origin()
        if self.path == "/picture":
            picture = studio.view(pixels.read(self._body(MAX_UPLOAD)))
            self._send_json(200, {"picture": pixels.strip(picture[None])})
        elif self.path == "/draw":
            drawing = requests.DrawRequest.read(requests.parse(self._body(MAX_JSON)))
            self._stream(Job(lambda tell: studio.draw(drawing, tell)))
        elif self.path == "/tell":
            asked = requests.TellRequest.read(requests.parse(self._body(MAX_JSON)))
            self._stream(Job(lambda tell: studio.tell_about(asked, tell)))
        else:
            raise RefusedError(404, "there is nothing at this address.")

    # -- what is let in -------------------------------------------------------------------------------------

    def _guarded(self, answer: Callable[[], None]) -> None:
        from mmgraph.demo.worker import BusyError, report

        try:
            self._check_host()
            answer()
        except RefusedError as error:
            self._send_json(error.status, {"message": str(error)})
        except BusyError as error:
            self._send_json(503, {"message": str(error)})
        except (UsageError, RunError) as error:
            self._send_json(400, {"message": str(error)})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            self._send_json(500, {"message": report(error, self.server.debug)})

    def _check_host(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not _OUR_NAMES.fullmatch(hosts[0]):
            raise RefusedError(403, f"this page is served to this machine only; open {self.server.url}.")

    def _check_origin(self) -> None:
        own = f"http://{self.headers['Host']}"
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        if self.headers.get_all("Origin") != [own] or site != "same-origin":
            raise RefusedError(403, f"only the page itself may ask this; open {self.server.url}.")

    def _body(self, most: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"\d{1,12}", length):
            raise RefusedError(411, "the request does not say how long it is.")
        if int(length) > most:
            raise RefusedError(413, f"that is too large: at most {most / 2**20:g} MB are taken.")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise ConnectionAbortedError
        return body

    # -- what is sent ---------------------------------------------------------------------------------------

    def _stream(self, job: Job) -> None:
        """Send the events of a job as JSON lines; when the listener goes, the job stops at its next step."""
        ahead = self.server.worker.submit(job)
        try:
            self._head(200, "application/x-ndjson")
            event: dict[str, Any] = {"event": "queued", "ahead": ahead}
            while True:
                if self._listener_gone():
                    return
                self.wfile.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
                if event["event"] in ("done", "error"):
                    return
                try:
                    event = job.events.get(timeout=HEARTBEAT)
                except queue.Empty:
                    event = {"event": "waiting"}
                    if job.cancelled.is_set():  # the server is closing
                        event = {"event": "error", "message": "the demo was stopped in its terminal."}
        finally:
            job.cancelled.set()

    def _listener_gone(self) -> bool:
        """Whether the other side has closed: writing alone would notice it a step late."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _send_json(self, status: int, content: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(content, ensure_ascii=False, allow_nan=False).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str, *, policy: str = OWN_ONLY) -> None:
        self._head(status, kind, policy=policy, length=len(content))
        self.wfile.write(content)

    def _head(self, status: int, kind: str, *, policy: str = OWN_ONLY, length: int | None = None) -> None:
        self.close_connection = True
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
            "Connection": "close",
        }
        if length is not None:
            headers["Content-Length"] = str(length)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer requests that the standard library refuses, as all others, without repeating what they said."""
        self._send_json(code, {"message": "this request is not understood."})

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal for what went wrong."""
