"""A server that accepts connections and then says nothing: the application never hangs with it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.fault_proxy import FaultProxy
from servers.fixtures import STORES
from servers.place import Place

ON_SERVERS = [name for name in STORES if name not in ("memory", "file")]

APPLICATION = """
import sys, time
import ltxvfs
from ltxvfs.core.errors import BarrierTimeout

def bounded(what, seconds, action):
    began = time.monotonic()
    result = action()
    took = time.monotonic() - began
    assert took < seconds, f"{what} took {took:.1f} s"
    return result

def barrier():
    try:
        ltxvfs.wait(con, 1)
    except BarrierTimeout:
        return
    raise AssertionError("the barrier passed without an answer")

ltxvfs.register(exit_timeout=1)
path, url, other, other_url = sys.argv[1:]
con = bounded("opening", 2, lambda: ltxvfs.connect(path, replica=url, sync_interval=0.05))
con.execute("CREATE TABLE t(x)")
if sys.stdin.readline() == "talk\\n":
    ltxvfs.wait(con, 60)
print("ready", flush=True)
assert sys.stdin.readline() == "silent\\n"
insert = "INSERT INTO t VALUES (randomblob(12000000))"
bounded("a large commit", 2, lambda: con.execute(insert))
bounded("a barrier of 1 s", 3, barrier)
bounded("another database", 2, lambda: ltxvfs.connect(other, replica=other_url))
bounded("closing", 2, con.close)
print("done", flush=True)
"""
EXIT_S_MAX = 6.0

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("place", ON_SERVERS, indirect=True)]


@pytest.fixture
def proxy(place: Place) -> Iterator[FaultProxy]:
    with FaultProxy(place.address) as proxy:
        yield proxy


@pytest.mark.parametrize("first", ["talk", "nothing"])
def test_nothing_waits_for_a_silent_server(
    place: Place, proxy: FaultProxy, first: str, tmp_path: Path
) -> None:
    far = place.through(proxy.address)
    application = subprocess.Popen(
        [
            *(sys.executable, "-W", "error", "-c", APPLICATION),
            *(tmp_path / "app.db", far.fresh(), tmp_path / "other.db", far.fresh()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **far.environment},
    )
    with application:
        assert application.stdin is not None
        assert application.stdout is not None
        assert application.stderr is not None
        proxy.silent = first == "nothing"
        print(first, file=application.stdin, flush=True)
        said = [application.stdout.readline()]
        proxy.silent = True
        print("silent", file=application.stdin, flush=True)
        said.append(application.stdout.readline())
        began = time.monotonic()
        errors = application.stderr.read()
        assert said == ["ready\n", "done\n"], errors
        assert application.wait(30) == 0, errors
        assert time.monotonic() - began < EXIT_S_MAX, errors
        assert "Traceback" not in errors
    assert proxy.connections > 0
