"""Commands one after another in a process of their own: a run of a study, with its own CPU clock and memory.

The process ends, after its step and a checkpoint, when its standard input is closed: also where whoever started it
was killed and could not say so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from mmgraph.cli import global_flags, main


class Launched:
    """A process that was started by `launch`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def poll(self) -> int | None:
        """Return the exit status once it has ended."""
        return self.process.poll()

    def stop(self) -> None:
        """Close its input and wait."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def launch(commands: Sequence[Sequence[str]], output: Path, threads: int) -> Launched:
    """Start `mmgraph COMMAND` for each command, in one new process; what it says goes to the file `output`."""
    told = json.dumps([[*global_flags, *command] for command in commands])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "mmgraph.cli.cell", told],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    return Launched(process)


def _stop_with_parent() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock, held by this thread, would abort the process at its end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def run(commands: Sequence[Sequence[str]]) -> int:
    """Run the commands in this process, until one fails."""
    for command in commands:
        status = main(command)
        if status:
            return status
    return 0


if __name__ == "__main__":
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    sys.exit(run(json.loads(sys.argv[1])))
