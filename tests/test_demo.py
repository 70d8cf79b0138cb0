"""The demo as a stranger starts it: a bare environment, one command."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.processes import KEPT, ROOT


def demo(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    bare = {name: os.environ[name] for name in KEPT if name in os.environ}
    bare |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, "manage.py", "demo", *args],
        cwd=ROOT,
        # What belongs to a real portal must not reach the demo, nor the demo's files stay.
        env={**bare, "TMPDIR": str(folder), "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def test_one_cycle_prints_what_happened_and_leaves_nothing_behind(tmp_path: Path) -> None:
    played = demo(tmp_path, "--once", "--vehicles", "4")

    assert played.returncode == 0, played.stdout + played.stderr
    rows = dict(re.findall(r"│ (\S.*?) +│ +(\S.*?) │", played.stdout))
    assert (rows["Drivers"], rows["Drivers connected"], rows["Vehicles"]) == ("3", "2", "4")
    assert rows["Vehicles matched in Fleetio"] == "3"
    assert int(rows["Fleetio issues"]) >= 1
    assert int(rows["Fleetio odometers"]) >= 2
    assert int(rows["Mails about alerts"]) >= 1
    assert any(name.startswith("Alerts: ") for name in rows)
    assert "Traceback" not in played.stdout + played.stderr
    assert list(tmp_path.glob("fleet-portal-demo-*")) == []


def test_a_fleet_without_cars_is_wrong_usage(tmp_path: Path) -> None:
    refused = demo(tmp_path, "--once", "--vehicles", "0")
    assert refused.returncode == 2
    assert "--vehicles must be at least 1." in refused.stderr
