"""What README and docs tell a reader to run does run, in the order they tell it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from servers.process import unavailable

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def command(language: str, text: str) -> list[str]:
    if language == "python":
        return [sys.executable, "-W", "error", "-c", text]
    # The Makefile's targets run elsewhere; here they must exist.
    return [
        "bash",
        "-euo",
        "pipefail",
        "-c",
        re.sub(r"^make ", f"make -n -C {ROOT} ", text, flags=re.M),
    ]


def runnable(page: Path) -> bool:
    return bool(BLOCK.search(page.read_text()))


@pytest.mark.parametrize("page", [*filter(runnable, PAGES)], ids=name_of)
def test_every_example_runs(page: Path, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if "age-keygen" in page.read_text() and shutil.which("age-keygen") is None:
        unavailable("age")
    for language, text in BLOCK.findall(page.read_text()):
        done = subprocess.run(
            command(language, text),
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]
