"""Coverage-guided fuzzing of the URL parser: ``python fuzz/fuzz_url.py SECONDS [SEED]``.

Mutates the texts of corpus/url; a text that reaches a new pair of lines is mutated too,
and kept in build/fuzz/url.
"""

import hashlib
import random
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from ltxvfs.backends import url
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

CORPUS = Path(__file__).parent / "corpus" / "url"
FOUND = Path(__file__).parents[1] / "build" / "fuzz" / "url"
TRACED = (url.__file__, "urllib/parse.py")
PIECES = [
    *"%/:@?#&=[]{}\\\0 é~",
    "%2",
    "%00",
    "%C3%A9",
    "://",
    "file",
    "s3",
    "a:b@",
    ":65536",
    "[::1]",
    "?x=",
]
TEXT_MAX = 200
Arc = tuple[str, int, int]


class Coverage:
    """The pairs of consecutive lines that were run in the traced files."""

    def __init__(self) -> None:
        self.seen: set[Arc] = set()
        self.fresh = False

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.endswith(TRACED):
            return None
        last = frame.f_code.co_firstlineno

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            arc = (name, last, frame.f_lineno)
            if arc not in self.seen:
                self.seen.add(arc)
                self.fresh = True
            last = frame.f_lineno
            return line

        return line


def one_input(text: str) -> None:
    """Any text is a URL or a ConfigError; a secret never shows; the same text is the same URL."""
    try:
        place = ReplicaURL.parse(text)
    except ConfigError as error:
        shown = str(error)
        secret = text.rpartition("@")[0].rpartition(":")[2]
        assert len(secret) < 6 or secret not in shown, "a password in the error"
        return
    assert place == ReplicaURL.parse(text)
    assert place.scheme == place.scheme.lower()
    assert place.port is None or 0 <= place.port < 100_000
    hidden = ReplicaURL(
        **{n: getattr(place, n) for n in ("scheme", "host", "path", "port", "username")}
    )
    assert repr(hidden) == repr(place), "a secret in the repr"


def mutate(rng: random.Random, corpus: list[str]) -> str:
    text = rng.choice(corpus)
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randint(0, len(text)) for _ in range(2))
        insert = rng.choice(
            (rng.choice(PIECES), chr(rng.randrange(0x250)), rng.choice(corpus)[at:end])
        )
        text = text[:at] + insert + text[rng.choice((at, at, end)) :]
    return text[:TEXT_MAX]


def run(text: str, coverage: Coverage) -> None:
    sys.settrace(coverage.trace)
    try:
        one_input(text)
    except BaseException:
        sys.settrace(None)
        print(f"fuzz_url: failed on {text!r}", file=sys.stderr)
        raise
    finally:
        sys.settrace(None)


def keep(text: str) -> None:
    data = text.encode()
    FOUND.mkdir(parents=True, exist_ok=True)
    (FOUND / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)


def main(seconds: float, seed: int) -> None:
    rng, coverage = random.Random(seed), Coverage()
    corpus = [path.read_text() for path in sorted(CORPUS.iterdir())]
    for text in corpus:
        run(text, coverage)
    kept, runs, until = len(corpus), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        coverage.fresh = False
        text = mutate(rng, corpus)
        run(text, coverage)
        runs += 1
        if coverage.fresh:
            corpus.append(text)
            keep(text)
    arcs, found = len(coverage.seen), len(corpus) - kept
    print(f"fuzz_url: {runs} texts, {arcs} arcs, {found} new in the corpus (seed {seed})")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 2**32)
