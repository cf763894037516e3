from __future__ import annotations

import http.client
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import webbrowser

import pytest

from mmgraph import models
from mmgraph.cli import main
from mmgraph.demo import DemoServer
from tests.pages import ROOT, blocks, commands


@pytest.fixture
def folder(tiny_model, tmp_path):
    return models.save(tiny_model, tmp_path / "run" / "model").parent


def test_ctrl_c_ends_it(folder, monkeypatch, capsys):
    """Work is under way, and its thread must end too."""
    serve, servers = DemoServer.serve_forever, []

    def interrupted(server):
        servers.append(server)
        host = f"127.0.0.1:{server.server_port}"
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)

        def ask_and_interrupt():
            body = b'{"caption": "fox", "steps": 200, "count": 8}'
            connection.request("POST", "/draw", body, {"Host": host, "Origin": f"http://{host}"})
            connection.getresponse().readline()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        threading.Thread(target=ask_and_interrupt).start()
        serve(server, 0.01)

    monkeypatch.setattr(DemoServer, "serve_forever", interrupted)
    assert main(["demo", "--run", str(folder), "--port", "0", "--no-browser"]) == 130
    assert capsys.readouterr().err == "mmgraph: interrupted.\n"
    assert not servers[0].worker._thread.is_alive()
    assert servers[0].socket.fileno() == -1


@pytest.mark.slow
def test_it_serves_until_ctrl_c_in_a_process_of_its_own(folder):
    """ the address is printed, the page answers, Ctrl-C ends it with 130."""
    command = [sys.executable, "-m", "mmgraph", "demo", "--run", str(folder), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = r"http://127\.0\.0\.1:(\d+)/ \(Ctrl-C stops it\)\n"
        found = re.fullmatch(f"demo of {re.escape(str(folder))}: {address}", line)
        assert found, line or process.stderr.read()
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        connection.request("GET", "/about")
        assert b'"reference"' in connection.getresponse().read()
        # a drawing is under way, and its thread must end too
        host = f"127.0.0.1:{found[1]}"
        drawing = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        body = b'{"caption": "fox", "steps": 200, "count": 8}'
        drawing.request("POST", "/draw", body, {"Host": host, "Origin": f"http://{host}"})
        drawing.getresponse().readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        drawing.close()
        assert (process.returncode, out, err) == (130, "", "mmgraph: interrupted.\n")
    finally:
        process.kill()


def test_wrong_usage(folder, capsys, tmp_path):
    taken = DemoServer(0)
    try:
        for arguments, message in (
            (["--run", folder, "--port", taken.server_port], "is in use"),
            (["--run", folder, "--port", "70000"], "is not a port"),
            (["--run", folder, "--port", "-1"], "is not a port"),
            (["--run", tmp_path / "none", "--port", "0"], "there is no trained model"),
            (["--run", "zoo:ae", "--port", "0"], "the Autoencoder of zoo:ae neither draws nor answers"),
            ([], "--run"),
        ):
            assert main(["demo", *map(str, arguments)]) == 2
            assert re.search(message, capsys.readouterr().err)
    finally:
        taken.close()


def test_the_browser_is_opened_unless_told_otherwise(folder, monkeypatch):
    opened: list[str] = []
    done = threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda url: (opened.append(url), done.set()))
    monkeypatch.setattr(DemoServer, "serve_forever", lambda self: done.wait(5))
    assert main(["demo", "--run", str(folder), "--port", "0"]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", opened[0])
    opened.clear()
    monkeypatch.setattr(DemoServer, "serve_forever", lambda self: None)
    assert main(["demo", "--run", str(folder), "--port", "0", "--no-browser"]) == 0
    assert not opened


def test_the_commands_of_the_page(tiny_model, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "howto" / "demo.md").read_text(encoding="utf-8")
    found = commands([block for block in blocks(page) if "elsewhere" in block.classes])
    assert len(found) >= 4
    models.save(tiny_model, tmp_path / "runs" / "transfusion" / "0" / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    monkeypatch.setattr(DemoServer, "serve_forever", lambda self: None)
    for command in found:
        program, *arguments = shlex.split(command)
        assert program == "mmgraph"
        assert main(arguments) == 0, (command, capsys.readouterr().err)
        told = arguments[arguments.index("--port") + 1] if "--port" in arguments else "8765"
        assert f"http://127.0.0.1:{told}/" in capsys.readouterr().out


def test_the_package_and_its_help_need_no_torch():
    code = (
        "import sys; from mmgraph.cli import main; main(['demo', '--help']); import mmgraph.demo;"
        "assert not {'torch', 'PIL', 'lightning'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "zoo:transfusion_long" in done.stdout
