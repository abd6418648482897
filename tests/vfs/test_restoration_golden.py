"""Every state of every golden replica restores to the bytes that Litestream restores."""

import hashlib
import json

import golden
import litestream
import pytest

from ltxvfs.core.names import file_name
from ltxvfs.core.types import TXID
from ltxvfs.restoration import restore

pytestmark = golden.needs_golden


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    """Copy each replica once."""
    folder = tmp_path_factory.mktemp("golden")
    made = {}

    def get(name):
        if name not in made:
            made[name] = golden.copy(name, folder)
        return made[name]

    return get


@pytest.mark.parametrize(("name", "txid", "digest"), golden.states())
def test_every_transaction(name, txid, digest, replica, tmp_path):
    result = restore(replica(name), tmp_path / "app.db", txid=txid)
    assert sha256(tmp_path / "app.db") == digest
    assert result.txid == txid
    assert result.pages == golden.expected(name)["at"][str(txid)]["pages"]
    assert [path.name for path in tmp_path.iterdir()] == ["app.db"]


@pytest.mark.parametrize(("name", "moment", "digest"), golden.moments())
def test_every_moment(name, moment, digest, replica, tmp_path):
    restore(replica(name), tmp_path / "app.db", timestamp=moment)
    assert sha256(tmp_path / "app.db") == digest


@pytest.mark.parametrize("name", golden.NAMES)
def test_the_newest_state_passes_the_integrity_check(name, replica, tmp_path):
    known = golden.expected(name)
    result = restore(replica(name), tmp_path / "app.db", integrity_check="full", parallelism=2)
    assert result.txid == known["max_txid"]
    assert sha256(tmp_path / "app.db") == known["at"][str(known["max_txid"])]["sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["app.db"]


@pytest.mark.parametrize("name", golden.NAMES)
def test_the_files_chosen_are_those_that_litestream_chooses(name, replica, tmp_path):
    known = golden.expected(name)
    targets = [{}, *({"txid": str(TXID(int(txid)))} for txid in known["at"])]
    targets += [{"timestamp": moment} for moment in known["moments"]]
    for target in targets:
        flags = [word for option in target.items() for word in (f"-{option[0]}", option[1])]
        url = f"file://{replica(name)}"
        done = litestream.run("restore", "-dry-run", "-json", *flags, "-o", tmp_path / "x", url)
        theirs = [(file["level"], file["name"]) for file in json.loads(done.stdout)["files"]]
        ours = restore(url, tmp_path / "x", dry_run=True, **target).files
        assert [(i.level, file_name(i.min_txid, i.max_txid)) for i in ours] == theirs
