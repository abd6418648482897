"""Every store does what the memory store does, whatever the order of operations."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from servers.fixtures import STORES
from servers.place import Place

from ltxvfs.backends.registry import open_store
from ltxvfs.backends.store import Store
from ltxvfs.backends.testing import StoreAgreement

SEQUENCES = {"memory": 1000, "file": 800}
ON_A_SERVER = 30
"""Sequences in CI, whose profile has 100 examples; others do that much less or more."""


def sequences(name: str) -> int:
    return SEQUENCES.get(name, ON_A_SERVER) * settings.default.max_examples // 100


@pytest.mark.slow
@pytest.mark.parametrize("place", STORES, indirect=True)
def test_a_store_agrees_with_the_memory_store(place: Place) -> None:
    begun = 0

    class Machine(StoreAgreement):
        def make_store(self) -> Store:
            nonlocal begun
            begun += 1
            return open_store(place.fresh())

    wanted = sequences(place.name)
    run_state_machine_as_test(Machine, settings=settings(max_examples=wanted))
    assert begun >= wanted


def test_two_thousand_sequences_are_tried_in_ci() -> None:
    tried = sum(SEQUENCES.get(name, ON_A_SERVER) for name in STORES)
    assert tried >= 2000
