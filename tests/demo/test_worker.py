from __future__ import annotations

import threading
import time

import pytest

from mmgraph.demo.worker import WAITING, BusyError, Job, StoppedError, Worker
from mmgraph.errors import UsageError


@pytest.fixture
def worker():
    made = Worker()
    yield made
    made.close()


def wait_until(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


def test_one_after_another_and_so_many_wait(worker):
    gate, at_work = threading.Event(), []

    def work(tell):
        at_work.append(1)
        assert len(at_work) == 1, "two jobs at once"
        assert gate.wait(5)
        at_work.pop()
        tell({"event": "done"})

    jobs = [Job(work) for _ in range(WAITING + 1)]
    assert [worker.submit(job) for job in jobs] == list(range(WAITING + 1))
    with pytest.raises(BusyError, match="busy"):
        worker.submit(Job(work))
    gate.set()
    assert [job.events.get(timeout=5)["event"] for job in jobs] == ["done"] * len(jobs)
    wait_until(lambda: not worker._open)
    assert worker.submit(Job(work)) == 0


def test_a_job_stops_at_its_next_step_and_the_next_one_runs(worker):
    steps = []

    def endless(tell):
        while True:
            steps.append(len(steps))
            tell({"event": "step"})
            time.sleep(0.002)

    job, after = Job(endless), Job(lambda tell: tell({"event": "done"}))
    worker.submit(job)
    worker.submit(after)
    job.events.get(timeout=5)
    job.cancelled.set()
    assert after.events.get(timeout=5) == {"event": "done"}
    count = len(steps)
    time.sleep(0.02)
    assert len(steps) == count


def test_a_job_that_nobody_waits_for_is_not_begun(worker):
    begun = []
    job = Job(lambda tell: begun.append(1))
    job.cancelled.set()
    after = Job(lambda tell: tell({"event": "done"}))
    worker.submit(job)
    worker.submit(after)
    after.events.get(timeout=5)
    assert not begun
    with pytest.raises(StoppedError):
        job.tell({"event": "step"})


def test_failures_become_one_message(worker, capsys):
    def usage(tell):
        raise UsageError("the model holds 8 words.")

    def unexpected(tell):
        raise ZeroDivisionError("secret path /home/me")

    jobs = [Job(usage), Job(unexpected)]
    for job in jobs:
        worker.submit(job)
    first, second = (job.events.get(timeout=5) for job in jobs)
    assert first == {"event": "error", "message": "the model holds 8 words."}
    assert "ZeroDivisionError" in second["message"]
    assert "secret" not in second["message"]
    assert "secret path" in capsys.readouterr().err


def test_closing_stops_everything():
    worker = Worker()
    started = threading.Event()

    def endless(tell):
        started.set()
        while True:
            tell({"event": "step"})
            time.sleep(0.002)

    worker.submit(Job(endless))
    waiting = Job(lambda tell: pytest.fail("it was dropped"))
    worker.submit(waiting)
    assert started.wait(5)
    worker.close()
    assert not worker._thread.is_alive()
    assert waiting.cancelled.is_set()
