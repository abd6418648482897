"""The command, through click's runner; its output beside the real Litestream's."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import litestream
import pytest
from click.testing import CliRunner

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.cli import main
from ltxvfs.core.types import TXID

ltx_verb = import_module("ltxvfs.cli.ltx")  # the package's name of that kind is the verb


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    return litestream.Application(tmp_path_factory.mktemp("app")).live().replica


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


def test_restore_is_silent_in_a_pipe(run, replica):
    done = run("restore", "-o", "app.db", replica)
    assert (done.exit_code, done.output) == (0, "")
    assert Path("app.db").read_bytes() == litestream.restore(replica, "theirs.db")


@pytest.mark.parametrize("spelling", ["-txid", "--txid", "-txid=", "--txid="])
def test_options_are_spelled_with_one_dash_or_two(spelling, run, replica):
    option = [f"{spelling}{TXID(3)}"] if spelling.endswith("=") else [spelling, TXID(3)]
    done = run("restore", *option, "-json", "-integrity-check", "quick", "-o", "app.db", replica)
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["txid"], report["integrity_check"]) == (str(TXID(3)), "quick")


def test_flags_may_be_given_go_values(run, replica):
    assert run("restore", "-dry-run=true", "-json=false", "-o", "a.db", replica).exit_code == 0
    assert not Path("a.db").exists()


def test_the_json_summary_is_litestreams(run, replica):
    ours = json.loads(run("restore", "-json", "-o", "ours.db", f"file://{replica}").stdout)
    done = litestream.run("restore", "-json", "-o", "theirs.db", f"file://{replica}")
    theirs = json.loads(done.stdout)
    assert list(ours) == list(theirs)
    for same in ("replica", "txid", "integrity_check"):
        assert ours[same] == theirs[same]


@pytest.mark.parametrize("form", [[], ["-json"]])
def test_the_dry_run_is_litestreams(form, run, replica):
    args = ["restore", "-dry-run", *form, "-o", "app.db", f"file://{replica}"]
    done = run(*args)
    assert done.stdout == litestream.run(*args).stdout
    assert done.exit_code == 0
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "args", [[], ["-level", "9"], ["-level=all"], ["-json"], ["-level", "9", "-json"], ["-level=3"]]
)
def test_the_listing_is_litestreams(args, run, replica):
    line = ["ltx", *args, f"file://{replica}"]
    assert run(*line).stdout == litestream.run(*line).stdout


def test_exact_moments_are_asked_for_one_by_one(run, monkeypatch):
    class Rough(MemoryStore):
        """Lists the moments of uploads, as S3 does."""

        listed_moments = False

        def list(self, prefix, after=""):
            for entry in super().list(prefix, after):
                yield replace(entry, modified=datetime(2026, 6, 1, tzinfo=UTC))

    store = Rough()
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    store.write(store.layout.key(0, 1, 1), b"x", modified=moment)
    monkeypatch.setattr(ltx_verb, "open_replica", lambda *_: ReplicaClient(store))
    assert "2026-06-01T00:00:00Z" in run("ltx", "memory://a").stdout
    exact = run("ltx", "-exact", "memory://a").stdout
    assert "2026-01-02T03:04:05" in exact
    assert "2026-06-01" not in exact


def test_relative_moments(run, replica):
    assert run("restore", "-timestamp", "now", "-o", "a.db", replica).exit_code == 0
    done = run("restore", "-timestamp", "2 weeks ago", "-o", "b.db", replica)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: nothing is older than")


def test_skips_are_no_errors(run, replica):
    Path("app.db").write_bytes(b"here")
    done = run("restore", "-if-db-not-exists", "-o", "app.db", replica)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "database already exists, skipping\n"
    done = run("restore", "-if-replica-exists", "-o", "b.db", "none")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "no matching backups found\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["restore", "-o", "a.db", "none"], "Error: the replica holds no files"),
        (["restore", "-o", "a.db", "gopher://x"], "Error: no store for gopher://"),
        (["restore", "-o", "a.db", "file://x/y"], "Error: a file URL needs three slashes"),
        (["ltx", "s3://u:hidden@[/"], "Error: the s3:// replica URL is malformed"),
        (["inspect", "none.ltx"], "Error: none.ltx: No such file or directory"),
    ],
)
def test_an_error_is_one_line_and_exit_code_1(args, message, run):
    done = run(*args)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["restore", "none"],
        ["restore", "-o", "a.db"],
        ["restore", "-o", "a.db", "-nope", "none"],
        ["restore", "-o", "a.db", "-txid", "12", "none"],
        ["restore", "-o", "a.db", "-timestamp", "soon", "none"],
        ["restore", "-o", "a.db", "-txid", "0" * 16, "-timestamp", "now", "none"],
        ["restore", "-o", "a.db", "-parallelism", "0", "none"],
        ["ltx", "-level", "10", "none"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(args, run):
    done = run(*args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "--help" in done.stderr


def test_inspect_shows_header_pages_and_trailer(run, replica):
    path = replica / f"ltx/9/{TXID(1)}-{TXID(3)}.ltx"
    shown = json.loads(run("inspect", "-json", path).stdout)
    header = shown["header"]
    assert (header["min_txid"], header["max_txid"]) == (str(TXID(1)), str(TXID(3)))
    assert (header["page_size"], header["commit"]) == (4096, len(shown["pages"]))
    assert [page["pgno"] for page in shown["pages"]] == list(range(1, header["commit"] + 1))
    assert shown["trailer"]["post_apply_checksum"] == "0" * 16
    text = run("inspect", path).stdout
    assert str(TXID(3)) in text
    assert shown["trailer"]["file_checksum"] in text


def test_inspect_refuses_a_damaged_file(run, replica, tmp_path):
    data = bytearray((replica / f"ltx/0/{TXID(2)}-{TXID(2)}.ltx").read_bytes())
    data[-1] ^= 1
    (tmp_path / "bad.ltx").write_bytes(data)
    done = run("inspect", "bad.ltx")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: bad.ltx: ")


def test_verify_tells_by_its_exit_code(run, replica, tmp_path):
    done = run("verify", replica)
    assert done.exit_code == 0
    assert done.stdout.endswith(f"up to {TXID(7)}: ok\n")
    bad = tmp_path / "bad/ltx/0"
    bad.mkdir(parents=True)
    (bad / f"{TXID(1)}-{TXID(1)}.ltx").write_bytes(b"LTX1")
    done = run("verify", "-json", "bad")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["ok"]) == (1, False)
    assert report["problems"][0]["name"] == f"{TXID(1)}-{TXID(1)}.ltx"


@pytest.mark.parametrize("args", [["-h"], ["--help"], ["restore", "-h"], ["restore", "-help"]])
def test_help_is_no_error(args, run):
    done = run(*args)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: litestream-vfs")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, run):
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_LITESTREAM_VFS_COMPLETE" in done.stdout


def test_version(run):
    assert run("version").stdout.strip()
    assert "SQLite 3." in run("version", "-verbose").stdout


def test_the_installed_program(replica, tmp_path):
    program = Path(sys.executable).with_name("litestream-vfs")
    done = subprocess.run(
        [program, "restore", "-o", tmp_path / "app.db", replica], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = subprocess.run([program], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"restore" in done.stderr


def test_completion_completes(replica):
    program = Path(sys.executable).with_name("litestream-vfs")
    done = subprocess.run(
        [program],
        env={
            "_LITESTREAM_VFS_COMPLETE": "bash_complete",
            "COMP_WORDS": "litestream-vfs res",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        check=False,
    )
    assert b"restore" in done.stdout


def test_a_progress_bar_is_for_terminals_only(replica, tmp_path):
    pty = pytest.importorskip("pty")
    program = Path(sys.executable).with_name("litestream-vfs")
    leader, follower = pty.openpty()
    try:
        args = [program, "restore", "-o", tmp_path / "app.db", replica]
        done = subprocess.run(args, stderr=follower, stdout=subprocess.PIPE, check=True)
        shown = os.read(leader, 100_000)
    finally:
        os.close(leader)
        os.close(follower)
    assert b"restore" in shown
    assert done.stdout == b""
