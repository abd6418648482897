"""Every operation of a backup-compact-restore run goes wrong in every way: nothing is lost."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from faults.campaign import Life, Run, live_through, objects, problem_of
from faulty_store import Fault, FaultyStore

from ltxvfs.backends.file import FileStore
from ltxvfs.backends.memory import MemoryStore
from ltxvfs.core.names import HEX_FOLDERS

CASES_MIN = 5000
# Thousands of runs would wait for a disk most of their time: where there is one, on none.
FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

STORES = {
    "memory": lambda folder: MemoryStore(),
    "memory, S3's layout": lambda folder: MemoryStore(HEX_FOLDERS),
    "file": lambda folder: FileStore(folder / "replica"),
}
SEEDS = {"memory": range(2), "memory, S3's layout": range(2, 3), "file": range(2)}
RUNS = [(name, seed) for name in STORES for seed in SEEDS[name]]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Life]:
    seeds = {seed for _, seed in RUNS}
    return {seed: live_through(tmp_path_factory.mktemp("life"), seed) for seed in seeds}


def faultless(life: Life, name: str, folder: Path) -> FaultyStore:
    store = FaultyStore(STORES[name](folder))
    Run(life, store, folder).play()
    return store


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize(("name", "seed"), RUNS)
def test_no_operation_that_goes_wrong_loses_anything(
    name: str, seed: int, fault: Fault, lives: dict[int, Life], tmp_path: Path
) -> None:
    life = lives[seed]
    good = faultless(life, name, tmp_path)
    expected = objects(good.inner)
    problems = []
    for at, verb in enumerate(good.verbs):
        with TemporaryDirectory(dir=FOLDER) as folder:
            store = FaultyStore(STORES[name](Path(folder)), fault, at)
            problem = problem_of(life, store, Path(folder), expected)
            assert len(store.verbs) > at
        if problem:
            problems.append(f"operation {at} ({verb}): {problem}")
    assert not problems


def test_the_campaign_is_large_enough(lives: dict[int, Life], tmp_path: Path) -> None:
    counts = []
    for name, seed in RUNS:
        with TemporaryDirectory(dir=FOLDER) as folder:
            counts.append(len(faultless(lives[seed], name, Path(folder)).verbs))
    assert sum(counts) * len(Fault) >= CASES_MIN
