"""A process that has the whole portal loaded and forks others that do one thing each.

Starting Python sixteen times takes sixteen seconds; forking does it at once, and what is forked
is a process like any other. Orders come in as lines of JSON, answers go out the same way. No
connection to the database is open when it forks.
"""

import json
import os
import signal
import sys
import time
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import django


def main() -> None:
    django.setup()
    # Loaded once, before anybody is forked.
    from tests.faults import jobs, storm_jobs  # noqa: F401

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        answer: Any = _start(order) if order["do"] == "start" else _wait(**order["what"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _start(order: dict[str, Any]) -> list[int]:
    """Fork as many as there are logs; they all begin at the same moment."""
    start_line, gun = os.pipe()
    pids = []
    for number, log in enumerate(order["logs"]):
        if pid := os.fork():
            pids.append(pid)
            continue
        os.close(gun)
        _act(number, log, start_line, order["what"])
    os.close(start_line)
    os.close(gun)
    return pids


def _act(number: int, log: str, start_line: int, order: dict[str, Any]) -> None:
    """The rest of a child's life."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(target, stream)
    code = 1
    try:
        _perform(number, start_line, **order)
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else 1
    except BaseException:  # noqa: BLE001  a child must never go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _perform(
    number: int,
    start_line: int,
    *,
    job: str,
    args: list[Any],
    later: float,
    dies_at: int | str | None,
) -> None:
    from fleetportal import clock
    from tests.faults import jobs
    from tests.faults.steps import Steps

    clock.set_source(lambda: datetime.now(UTC) + timedelta(seconds=later))
    steps = Steps(dies_at) if dies_at is not None else None
    if steps:
        steps.install()
    os.read(start_line, 1)  # ends when the parent has forked everybody and hangs up
    jobs.JOBS[job](number, *args)
    if steps:
        steps.reach("the end")


def _wait(pids: list[int], seconds: float) -> list[int | None]:
    """The exit codes, negative for a signal; None for those that still run after `seconds`."""
    deadline = time.monotonic() + seconds
    codes: dict[int, int] = {}
    while len(codes) < len(pids):
        for pid in pids:
            if pid not in codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    codes[pid] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return [codes.get(pid) for pid in pids]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the test decides who ends when
    main()
