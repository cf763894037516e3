from __future__ import annotations

import http.client
import io
import json
import re
import socket
import threading
import time
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from mmgraph import generation
from mmgraph.demo import DemoServer, pixels
from mmgraph.demo.server import FILES, MAX_UPLOAD
from mmgraph.demo.worker import WAITING
from mmgraph.errors import UsageError
from mmgraph.testing.stand_ins import pictures
from tests import tiny


def png(side: int = 20) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (255, 0, 0)).save(file, "PNG")
    return file.getvalue()


class TestPage:
    def test_its_files_and_nothing_else(self, request_to):
        for path in FILES:
            answer = request_to("GET", path)
            assert answer.status == 200
            assert answer.headers["Content-Type"].split(";")[0] in (
                "text/html",
                "text/css",
                "text/javascript",
                "image/svg+xml",
            )
        for path in (
            "/page.html",
            "/server.py",
            "/../server.py",
            "/%2e%2e/server.py",
            "//etc/passwd",
            "/report",
            "/page.css/",
            "http://127.0.0.1/page.css",
            "*",
        ):
            answer = request_to("GET", path)
            assert answer.status in (400, 404), path
            assert set(answer.json) == {"message"}

    def test_it_refers_to_nothing_outside(self, request_to):
        for path in FILES:
            text = request_to("GET", path).body.decode()
            outside = re.sub(r"http://www\.w3\.org/2000/svg", "", text)
            assert "//" not in re.sub(r"(?m)^\s*//.*$|; // .*$", "", outside), path
            for found in re.findall(r'(?:src|href)="([^"]+)"|from "([^"]+)"', text):
                assert "".join(found) in FILES, path
            assert "style=" not in text  # the policy forbids it

    def test_what_the_page_names_exists(self):
        html = resources.files("mmgraph.demo").joinpath("page.html").read_text(encoding="utf-8")
        ids = set(re.findall(r'\bid="([\w-]+)"', html))
        scripts = "".join(
            resources.files("mmgraph.demo").joinpath(name).read_text(encoding="utf-8")
            for name, _ in FILES.values()
            if name.endswith(".js")
        )
        assert set(re.findall(r'\b(?:get|show)\("([\w-]+)"', scripts)) <= ids
        assert set(re.findall(r'(?:for|aria-labelledby|aria-describedby)="([\w-]+)"', html)) <= ids
        inputs = set(re.findall(r'<input id="([\w-]+)"', html))
        assert inputs <= set(re.findall(r'<label for="([\w-]+)"', html))

    def test_headers(self, request_to):
        for answer in (request_to("GET", "/"), request_to("GET", "/nothing"), request_to("BREW", "/")):
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Python" not in answer.headers["Server"]

    def test_the_report_runs_no_script(self, request_to, server, tmp_path):
        server.report = tmp_path / "report.html"
        server.report.write_text("<h1>what it scored</h1>")
        answer = request_to("GET", "/report")
        assert answer.body == b"<h1>what it scored</h1>"
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    def test_about_and_examples(self, request_to):
        assert request_to("GET", "/about").json == {"recipe": "tiny"}
        assert request_to("GET", "/examples?again=1").json == {"ready": True, "questions": ["is it red ?"]}


class TestWhoMayAsk:
    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", "0.0.0.0", ""])
    def test_other_names_of_this_machine(self, request_to, host):
        """A page elsewhere whose name is made to lead here (DNS rebinding)."""
        for answer in (
            request_to("GET", "/about", Host=host),
            request_to("POST", "/draw", {"caption": "fox"}, Host=host, Origin=f"http://{host}"),
        ):
            assert answer.status == 403
            assert "this machine only" in answer.json["message"]

    def test_no_name_or_two(self, request_to, server):
        assert request_to("GET", "/about", Host=None).status == 403
        with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
            connection.sendall(b"GET /about HTTP/1.0\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
            assert b" 403 " in connection.makefile("rb").readline()

    def test_localhost_and_tunnels(self, request_to):
        assert request_to("GET", "/about", Host="localhost:9000").status == 200
        given = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
        assert request_to("POST", "/draw", {"caption": "fox", "steps": 1}, **given).status == 200

    @pytest.mark.parametrize("path", ["/draw", "/tell", "/picture"])
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": None},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ],
    )
    def test_other_pages_may_not(self, request_to, path, headers):
        answer = request_to("POST", path, b"{}", **headers)
        assert answer.status == 403
        assert "only the page itself" in answer.json["message"]

    def test_it_listens_on_loopback_only(self, server):
        assert server.socket.getsockname()[0] == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{server.server_port}/"


class TestLimits:
    def test_length(self, request_to):
        large = request_to("POST", "/picture", b"", Content_Length=str(MAX_UPLOAD + 1))
        assert (large.status, "at most 5 MB" in large.json["message"]) == (413, True)
        assert request_to("POST", "/draw", b"", Content_Length=str(2**20 + 1)).status == 413
        for length in (None, "-1", "1e3", "9" * 20):
            assert request_to("POST", "/draw", b"", Content_Length=length).status == 411
        assert request_to("POST", "/draw", b"", Transfer_Encoding="chunked").status == 411

    def test_a_body_that_ends_early_is_dropped(self, server):
        head = "Host: localhost\r\nOrigin: http://localhost\r\nContent-Length: 50\r\n\r\n{"
        with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
            connection.sendall(f"POST /draw HTTP/1.0\r\n{head}".encode())
            connection.shutdown(socket.SHUT_WR)
            assert connection.makefile("rb").read() == b""
        assert not server.worker._open

    def test_wrong_requests_say_what_is_wrong(self, request_to):
        for path, body, message in (
            ("/draw", b"{", "no JSON"),
            ("/draw", {"caption": "fox", "steps": 1000}, "steps must be a whole number from 1 to 200"),
            ("/tell", {"picture": "bm8="}, None),
            ("/picture", b"GIF89a, but not really", "not a picture|damaged"),
            ("/elsewhere", b"{}", "nothing at this address"),
        ):
            answer = request_to("POST", path, body)
            if message is None:  # found out by the model's thread
                assert "not a picture" in answer.events[-1]["message"]
            else:
                assert answer.status in (400, 404)
                assert re.search(message, answer.json["message"])

    def test_no_traceback_leaves_the_machine(self, request_to, server, monkeypatch, capsys):
        monkeypatch.setattr(server.studio, "view", lambda picture: 1 // 0)
        answer = request_to("POST", "/picture", png())
        assert answer.status == 500
        streamed = request_to("POST", "/tell", {"picture": pixels.strip(pictures(1, 8)[0][None])}).events[-1]
        for message in (answer.json["message"], streamed["message"]):
            assert "ZeroDivisionError" in message
            assert "Traceback" not in message
            assert ".py" not in message
        assert "integer" in capsys.readouterr().err

    def test_a_queue_that_ends(self, request_to, server, monkeypatch):
        gate = threading.Event()
        monkeypatch.setattr(server.studio, "draw", lambda request, tell: gate.wait(20) and tell({"event": "done"}))
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda: found.append(request_to("POST", "/draw", {"caption": "fox"}).status))
            for _ in range(WAITING + 1)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 10
        while len(server.worker._open) <= WAITING and time.monotonic() < end:
            time.sleep(0.005)
        refused = request_to("POST", "/draw", {"caption": "fox"})
        gate.set()
        for thread in threads:
            thread.join()
        assert refused.status == 503
        assert "try again" in refused.json["message"]
        assert found == [200] * (WAITING + 1)


class TestWork:
    def test_draw_streams_its_steps(self, request_to, server):
        answer = request_to("POST", "/draw", {"caption": "a red fox", "steps": 3, "seed": 2})
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        assert [event["event"] for event in answer.events] == ["queued", "step", "step", "step", "done"]
        drawn = generation.draw(server.studio.model, ["a red fox"], num_steps=3, seed=2)
        assert answer.events[3]["pictures"] == pixels.strip(drawn)

    def test_a_picture_is_shown_as_the_model_sees_it_and_asked_about(self, request_to, server):
        seen = request_to("POST", "/picture", png()).json["picture"]
        picture = pixels.unstrip(seen)
        assert picture.shape == (3, tiny.SIZE, tiny.SIZE)
        answer = request_to("POST", "/tell", {"picture": seen, "question": "is it red ?"})
        expected = generation.ask(server.studio.model, picture[None], ["is it red ?"])
        assert answer.events[-1]["text"] == expected[0]
        assert answer.events[0] == {"event": "queued", "ahead": 0}

    def test_steps_arrive_while_it_works(self, request_to, server, monkeypatch):
        gate = threading.Event()

        def draw(request, tell):
            tell({"event": "step", "step": 1})
            assert gate.wait(20)
            tell({"event": "done"})

        monkeypatch.setattr(server.studio, "draw", draw)
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        host = f"127.0.0.1:{server.server_port}"
        connection.request("POST", "/draw", b'{"caption": "fox"}', {"Host": host, "Origin": f"http://{host}"})
        response = connection.getresponse()
        assert [json.loads(response.readline())["event"] for _ in range(2)] == ["queued", "step"]
        gate.set()
        assert json.loads(response.readlines()[-1])["event"] == "done"
        connection.close()

    def test_work_stops_when_the_page_goes_away(self, request_to, server, monkeypatch):
        monkeypatch.setattr("mmgraph.demo.server.HEARTBEAT", 0.01)
        stopped = threading.Event()

        def endless(request, tell):
            try:
                while True:
                    tell({"event": "step"})
                    time.sleep(0.005)
            finally:
                stopped.set()

        monkeypatch.setattr(server.studio, "draw", endless)
        host = f"127.0.0.1:{server.server_port}"
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        connection.request("POST", "/draw", b'{"caption": "fox"}', {"Host": host, "Origin": f"http://{host}"})
        response = connection.getresponse()
        assert json.loads(response.readline())["event"] == "queued"
        assert not stopped.is_set()
        response.close()
        connection.close()
        assert stopped.wait(5)
        assert request_to("POST", "/tell", {"picture": pixels.strip(pictures(1, 8)[0][None])}).status == 200

    def test_examples_that_fail_leave_the_rest_working(self, studio, capsys):
        told = "there is no folder x."
        for failure, message in ((UsageError(told), told), (KeyError("x"), "KeyError")):

            def offers(failure: Exception = failure):
                raise failure

            served = DemoServer(0)
            served.open(studio, {}, offers=offers)
            assert served.examples_ready.wait(5)
            assert message in served.examples["missing"]
            served.close()


def test_a_taken_port_says_what_to_do():
    server = DemoServer(0)
    try:
        with pytest.raises(UsageError, match=rf"port {server.server_port} is in use.*--port N"):
            DemoServer(server.server_port)
    finally:
        server.close()


def test_every_file_is_in_the_package():
    folder = Path(str(resources.files("mmgraph.demo")))
    assert {name for name, _ in FILES.values()} == {p.name for p in folder.iterdir() if p.suffix not in (".py", "")}
