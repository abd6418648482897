"""Without the real program there is nothing to compare with."""

import os

import litestream
import pytest


def pytest_runtest_setup() -> None:
    if not os.access(litestream.PROGRAM, os.X_OK):
        pytest.skip("the litestream program is not installed")
