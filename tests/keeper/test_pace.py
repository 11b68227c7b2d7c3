"""How busy the others are on the left, how long the work waits for them on the right."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from itertools import accumulate, repeat

import pytest

from gateway.keeper.pace import LONGEST_PAUSE, QUIET, TURNS, Pace, let_others_go_first, paced, uncollected
from tests.conftest import run


class Times:
    """A thread's clock and its use of the processor; a pause of it is noted, and takes as long as it is to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.busy = 3.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    def pass_by(self, busy: float, waiting: float) -> None:
        self.now += busy + waiting
        self.busy += busy


@pytest.mark.parametrize(
    ("waiting", "paused"), [(0.0, 0.0), (0.004, 0.004), (9.0, LONGEST_PAUSE), (-0.001, 0.0)]
)  # two clocks may differ
def test_a_thread_pauses_for_as_long_as_it_was_kept_waiting(waiting: float, paused: float) -> None:
    times = Times()
    pace = Pace(lambda: times.now, lambda: times.busy, times.sleep)
    for _ in range(2):  # a pause itself is not waited for again
        times.pass_by(0.002, waiting)
        pace.pause()
    assert times.slept == [paused, paused]


def test_whatever_the_steps_nothing_is_left_out() -> None:
    for step in (1, 3, 10, 11):
        assert list(paced(range(10), step)) == list(range(10))


@pytest.mark.parametrize(
    ("lasting", "turns"),
    [([0.0], 1), ([QUIET * 2, QUIET * 2, 0.0], 3), ([*repeat(QUIET * 2, TURNS * 2)], TURNS)],
    ids=["nobody", "two turns", "all the time"],
)
def test_on_the_loop_others_go_first_as_long_as_they_have_something_to_do(lasting: list[float], turns: int) -> None:
    async def scenario() -> None:
        times = iter([time for at in accumulate(lasting, initial=0.0) for time in (at, at)][1:])
        passed = 0

        def turn() -> None:
            nonlocal passed
            passed += 1
            loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        loop.call_soon(turn)
        await let_others_go_first(lambda: next(times))
        assert passed == turns

    run(scenario())


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_nothing_is_collected_until_it_is_over_also_where_it_fails() -> None:
    with pytest.raises(KeyError), uncollected():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


@pytest.mark.usefixtures("thawed")
def test_whoever_comes_second_leaves_the_collector_to_the_first() -> None:
    with uncollected():
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.usefixtures("thawed")
@pytest.mark.parametrize("share", [0.5, 2])
def test_so_many_objects_that_they_would_be_collected_are_left_alone(share: float) -> None:
    gc.collect()
    frozen = gc.get_freeze_count()
    with uncollected():
        made: list[list[int]] = [[] for _ in range(int(gc.get_threshold()[0] * share))]
    assert (gc.get_freeze_count() - frozen >= len(made)) is (share > 1)
