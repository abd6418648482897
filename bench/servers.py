"""The real servers of the tests, for measurements."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"


def stores() -> dict[str, Callable[[Path], AbstractContextManager[Any]]]:
    """Give every store's place by its name, as ``tests/servers/fixtures.py`` has them."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    found: dict[str, Callable[[Path], AbstractContextManager[Any]]]
    found = import_module("servers.fixtures").STORES
    return found
