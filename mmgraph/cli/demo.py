"""`mmgraph demo`: a local page to draw and ask with a trained run."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence

PORT = 8765


def run(verb: str, argv: Sequence[str], *, debug: bool = False) -> int:
    """Serve the page until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="mmgraph demo",
        description="Open a local page to draw, ask and name with a trained run, and to watch each step of it. "
        "It is served to this machine only; Ctrl-C stops it.",
        epilog="example: mmgraph demo --run zoo:transfusion_long",
        allow_abbrev=False,
    )
    parser.add_argument("--run", required=True, metavar="REF", help="run directory, model directory or zoo:NAME")
    parser.add_argument(
        "--port", type=port, default=PORT, metavar="N", help=f"default: {PORT}; 0 takes a free one"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    options = parser.parse_args(list(argv))
    from mmgraph.demo import DemoServer

    server = DemoServer(options.port)  # before the seconds that torch takes: a taken port is known at once
    try:
        from mmgraph import models
        from mmgraph.demo.about import About, offers
        from mmgraph.demo.studio import Studio

        studio = Studio(models.load(options.run), options.run)
        about = About(options.run)
        server.open(
            studio,
            about.facts(studio),
            offers=lambda: offers(about.dataset(), studio),
            report=about.report,
            debug=debug,
        )
        print(f"demo of {options.run}: {server.url} (Ctrl-C stops it)", flush=True)
        if not options.no_browser:
            threading.Thread(target=_open_browser, args=(server.url,), daemon=True).start()
        server.serve_forever()
    finally:
        server.close()
    return 0


def port(text: str) -> int:
    """Read a port number."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port from 0 to 65535")
    return int(text)


def _open_browser(url: str) -> None:
    import webbrowser

    webbrowser.open(url)
