"""One thread that owns the model: jobs wait their turn, tell their events, and stop when nobody listens."""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from mmgraph.errors import RunError, UsageError

WAITING = 4
"""Jobs that may wait beside the one at work."""


class BusyError(RunError):
    """Too many jobs wait already."""


class StoppedError(Exception):
    """Raised inside a job that was cancelled."""


class Job:
    """One piece of work and its events.

    Args:
        work: Called with a function that takes events.
    """

    def __init__(self, work: Callable[[Callable[[dict[str, Any]], None]], None]) -> None:
        self.work = work
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.cancelled = threading.Event()

    def tell(self, event: dict[str, Any]) -> None:
        """Take an event of the work.

        Raises:
            StoppedError: If nobody listens any more.
        """
        if self.cancelled.is_set():
            raise StoppedError
        self.events.put(event)


class Worker:
    """Runs jobs one after another.

    Args:
        debug: Print the traceback of an unexpected failure.
    """

    def __init__(self, *, debug: bool = False) -> None:
        self.debug = debug
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        self._open: list[Job] = []
        self._thread = threading.Thread(target=self._run, name="mmgraph-demo-model", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> int:
        """Queue a job; return how many stand before it.

        Raises:
            BusyError: If as many as `WAITING` wait already.
        """
        with self._lock:
            ahead = len(self._open)
            if ahead > WAITING:
                raise BusyError(f"the model is busy and {WAITING} requests wait already; try again in a moment.")
            self._open.append(job)
        self._jobs.put(job)
        return ahead

    def close(self, timeout: float = 10.0) -> None:
        """Stop the job at work at its next step, drop the others, and end the thread."""
        with self._lock:
            for job in self._open:
                job.cancelled.set()
        self._jobs.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._do(job)
            finally:
                with self._lock:
                    self._open.remove(job)

    def _do(self, job: Job) -> None:
        if job.cancelled.is_set():
            return
        try:
            job.work(job.tell)
        except StoppedError:
            return
        except (UsageError, RunError) as error:
            job.events.put({"event": "error", "message": str(error)})
        except Exception as error:
            job.events.put({"event": "error", "message": report(error, self.debug)})


def report(error: Exception, debug: bool) -> str:
    """Say in the terminal what failed unexpectedly, and return what the page shows."""
    if debug:
        traceback.print_exception(error)
    print(f"mmgraph: demo: {type(error).__name__}: {error}", file=sys.stderr)
    return f"something failed unexpectedly ({type(error).__name__}); the terminal of `mmgraph demo` says more."
