"""On real servers, whose connections break in every way in the middle of a run: nothing is lost."""

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from faults.campaign import Life, Run, live_through, objects, problem_of
from faulty_store import Fault, FaultyStore
from servers.fault_proxy import FaultProxy
from servers.fixtures import STORES
from servers.place import Place

from ltxvfs.backends.memory import MemoryStore
from ltxvfs.backends.registry import open_store
from ltxvfs.backends.s3 import client as s3_client
from ltxvfs.backends.store import Store

ON_SERVERS = [name for name in STORES if name not in ("memory", "file")]
WITHOUT_HTTP = ("nats", "sftp")
STATUSES = {Fault.TOO_MANY_REQUESTS: 429, Fault.SERVER_ERROR: 500, Fault.OVERLOADED: 503}
INTO_AN_ANSWER = 200
# A server that says nothing is waited for as long as the store's timeouts go: see test_silence.
ON_THE_WIRE = [fault for fault in Fault if fault is not Fault.TIMEOUT]

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("place", ON_SERVERS, indirect=True)]


class OverTheWire(FaultyStore):
    """What can go wrong on the wire does so there, whichever request it then hits."""

    def __init__(self, far: Store, near: Store, proxy: FaultProxy, fault: Fault, at: int) -> None:
        super().__init__(far, fault, at)
        self.truth = near
        self._proxy = proxy

    def _begin(self, verb: str) -> Fault | None:
        fault = super()._begin(verb)
        if fault is None or fault is Fault.STALE_LIST:
            return fault
        if fault is Fault.BEFORE_SEND:
            self._proxy.refusals = 1
            self._proxy.cut_now()
        elif fault is Fault.AFTER_APPLY:
            self._proxy.cut_next(0)
        elif fault is Fault.CUT_BODY:
            self._proxy.cut_next(INTO_AN_ANSWER, reset=False)
        elif fault is Fault.LOST_CONNECTION:
            self._proxy.cut_next(INTO_AN_ANSWER)
        elif fault is Fault.WRONG_LENGTH:
            self._proxy.answer_next(200, b"short", length=1000)
        else:
            self._proxy.answer_next(STATUSES[fault], b"fault")
        return None


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return live_through(tmp_path_factory.mktemp("life"), seed=0)


@pytest.fixture
def proxy(place: Place) -> Iterator[FaultProxy]:
    with FaultProxy(place.address) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give silence less time than a user's line is given."""
    monkeypatch.setattr(s3_client, "TIMEOUT_S", 4.0)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("fault", ON_THE_WIRE)
def test_nothing_is_lost_on_a_bad_line(
    place: Place,
    proxy: FaultProxy,
    fault: Fault,
    life: Life,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if place.name in WITHOUT_HTTP and (fault in STATUSES or fault is Fault.WRONG_LENGTH):
        pytest.skip("there are no such answers in its protocol")
    problems = []
    folders = (tmp_path / str(number) for number in count())
    for verb in ("list", "read", "write", "delete"):
        url = place.fresh()
        with closing(open_store(url)) as near:
            good = FaultyStore(MemoryStore(near.layout))
            Run(life, good, made(next(folders))).play()
            of_verb = [number for number, name in enumerate(good.verbs) if name == verb]
            assert not objects(near)  # and it has read its environment
            with monkeypatch.context() as environment:
                for name, value in place.through(proxy.address).environment.items():
                    environment.setenv(name, value)
                with closing(open_store(place.moved(url, proxy.address))) as far:
                    bad = OverTheWire(far, near, proxy, fault, of_verb[len(of_verb) // 2])
                    problem = problem_of(life, bad, made(next(folders)), objects(good.inner))
        proxy.clear()
        if problem:
            problems.append(f"{verb}: {problem}")
    assert proxy.connections > 0
    assert not problems
