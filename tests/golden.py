"""The replicas that the real Litestream made, and what it restores from them."""

import json
import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "golden"
NAMES = sorted(path.name for path in FOLDER.glob("*/")) if FOLDER.is_dir() else []

needs_golden = pytest.mark.skipif(not NAMES, reason="no golden replicas beside the repository")


def expected(name):
    """Give what is known of a replica; see the README beside them."""
    return json.loads((FOLDER / name / "expected.json").read_text())


def states():
    """Give every (name, txid, SHA-256)."""
    return [(n, int(t), at["sha256"]) for n in NAMES for t, at in expected(n)["at"].items()]


def moments():
    """Give every (name, moment, SHA-256)."""
    return [
        (name, datetime.fromisoformat(moment), sha256)
        for name in NAMES
        for moment, sha256 in expected(name)["moments"].items()
    ]


def copy(name, folder):
    """Copy a replica with the times of its files; gives the copy's folder."""
    target = Path(folder) / name
    shutil.copytree(FOLDER / name / "replica", target)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for key, mtime_ns in json.loads((FOLDER / name / "mtimes.json").read_text()).items():
        os.utime(target / key, ns=(mtime_ns, mtime_ns))
    return target
