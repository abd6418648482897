"""Which process of which machine: one that is certainly dead is not waited for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ltxvfs import identity
from ltxvfs.folder import Folder

PRINT = """
import sys
from pathlib import Path
from ltxvfs import identity
from ltxvfs.folder import Folder
print(identity.holder(Folder(Path(sys.argv[1]))).process, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    one = Folder(tmp_path / ".app.db-litestream")
    one.create()
    return one


def test_a_process_is_dead_when_it_has_ended(folder: Folder) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", PRINT, folder.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    process = other.stdout.readline().strip()
    assert not identity.is_dead(process)
    other.communicate("")
    assert identity.is_dead(process)


def test_a_pid_that_is_used_again_is_another_process(folder: Folder) -> None:
    process = identity.holder(folder).process
    assert process.split("/")[1] == str(os.getpid())
    assert not identity.is_dead(process)
    assert identity.is_dead(process + "0")


@pytest.mark.parametrize("process", ["", "x", "x/1/2", "x/1", "//", "/1/"])
def test_nothing_is_known_of_other_machines(process: str) -> None:
    assert not identity.is_dead(process)


def test_a_container_of_this_machine_is_another_place(folder: Folder) -> None:
    place, _, rest = identity.holder(folder).process.partition("/")
    assert not identity.is_dead(f"{place}1/{rest}0")


def test_the_writer_stays_until_its_folder_is_copied(folder: Folder, tmp_path: Path) -> None:
    writer = identity.holder(folder).writer
    assert identity.holder(folder).writer == writer
    shutil.copytree(folder.root, tmp_path / "copy")
    assert identity.holder(Folder(tmp_path / "copy")).writer != writer
    (folder.spools / "writer").write_text("damaged")
    assert identity.holder(folder).writer != writer
