"""The garbage collector on the left, what many keys do to it on the right."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from gateway.keeper.look import uncollected


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_nothing_is_collected_until_it_is_over_also_where_it_fails() -> None:
    with pytest.raises(KeyError), uncollected():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_whoever_comes_second_leaves_the_collector_to_the_first() -> None:
    with uncollected():
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize("share", [0.5, 2])
def test_so_many_objects_that_they_would_be_collected_are_left_alone(share: float) -> None:
    gc.collect()
    frozen = gc.get_freeze_count()
    with uncollected():
        made: list[list[int]] = [[] for _ in range(int(gc.get_threshold()[0] * share))]
    assert (gc.get_freeze_count() - frozen >= len(made)) is (share > 1)
