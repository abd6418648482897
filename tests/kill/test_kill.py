"""SIGKILL at any moment: what the barrier acknowledged is in the replica, and the chain goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = {"dev": 30, "ci": 100, "nightly": 1000}[os.environ.get("HYPOTHESIS_PROFILE", "dev")]


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 3])
def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path, together: int) -> None:
    script = Path(__file__).with_name("victims.py")
    paths = os.pathsep.join([str(script.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(KILLS), "1", str(together)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
