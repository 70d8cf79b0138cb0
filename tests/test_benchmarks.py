"""The benchmark runs to its end. What it measures depends on the machine, so no test asserts it."""

import subprocess
import sys

import pytest

from tests import servers
from tests.processes import ROOT


def test_a_small_benchmark_prints_its_tables() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.chain", "--only", "sqlite"]
    command += ["--vehicles", "3", "--rounds", "1", "--seconds", "0.5"]
    command += ["--latency", "0.05", "--threads", "2"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 vehicles, 10 rules" in ran.stdout
    rows = [line for line in ran.stdout.splitlines() if line.startswith("│ SQLite")]
    assert len(rows) == 2, ran.stdout
    assert rows[0].count(" ms ") == 2
    assert "40.0" in rows[1]  # the ideal of two threads that wait 50 ms
    assert ("run without Celery" in ran.stdout) == bool(servers.missing("redis"))
    assert ran.stderr == ""


@pytest.mark.postgres
def test_a_small_benchmark_of_webhooks_prints_its_table() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.webhooks"]
    command += ["--rounds", "1", "--seconds", "0.5", "--clients", "2"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = [line for line in ran.stdout.splitlines() if "Bare view" in line or "Portal" in line]
    assert [row.count(" ms ") for row in rows] == [1, 1], ran.stdout
    assert ran.stderr == ""
