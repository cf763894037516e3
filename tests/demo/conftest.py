from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from mmgraph.demo import DemoServer
from mmgraph.demo.studio import Studio


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines()]


@pytest.fixture
def studio(tiny_model) -> Studio:
    return Studio(tiny_model, "zoo:tiny")


@pytest.fixture
def server(studio) -> Iterator[DemoServer]:
    served = DemoServer(0)
    served.open(studio, {"recipe": "tiny"}, offers=lambda: {"questions": ["is it red ?"]})
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.close()


@pytest.fixture
def request_to(server) -> Callable[..., Answer]:
    """Send one request as the page would; `headers` replace or (None) remove the page's own."""

    def send(method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        chosen = {"Host": f"127.0.0.1:{server.server_port}"}
        if method == "POST":
            chosen["Origin"] = f"http://{chosen['Host']}"
            chosen["Content-Length"] = str(len(content or b""))
        for name, value in headers.items():
            chosen[name.replace("_", "-")] = value  # type: ignore[assignment]
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in chosen.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(content)
        response = connection.getresponse()
        try:
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    return send
