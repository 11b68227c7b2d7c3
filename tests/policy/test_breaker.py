"""The breaker: a table of its states, transcripts of its life, and any sequence of events against a naive model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.config.provider import CircuitBreakerConfig
from gateway.policy.breaker import SLOTS, TRANSITIONS, VOLUME, Breaker, Event, State, Success, Versions

CONFIG = CircuitBreakerConfig()


class Full(Random):
    """Chance that always says the most."""

    def uniform(self, a: float, b: float) -> float:
        return b


FULL = Full()


def breaker(**settings: object) -> Breaker:
    return Breaker(CircuitBreakerConfig(**settings), Versions())  # type: ignore[arg-type]


def feed(fuse: Breaker, outcomes: str, now: float = 0.0) -> str:
    """Attempts one after the other: "+" succeeds, "-" fails, "~" succeeds and is taken back, "." leaves. The states
    after each: c, h, o; "x" where none was let in."""
    states = ""
    for outcome in outcomes:
        version = fuse.enter(now)
        if version is None:
            states += "x"
            continue
        if outcome == "+":
            fuse.succeed(version, now)
        elif outcome == "-":
            fuse.fail(version, now, FULL)
        elif outcome == "~":
            take_back(fuse, begin(fuse, version, now), now)
        else:
            fuse.leave(version)
        states += fuse.state.value[0]
    return states


def begin(fuse: Breaker, version: int, now: float) -> tuple[int, Success]:
    """An attempt whose answer begins: a success for now, and the version by which its end counts."""
    late, row = version < fuse.version, fuse.failures_in_row
    fuse.succeed(version, now)
    return version if late else fuse.version, Success(row, fuse.successes)


def take_back(fuse: Breaker, begun: tuple[int, Success], now: float) -> None:
    fuse.take_back(*begun)
    fuse.fail(begun[0], now, FULL, counted=True)


def end_of(fuse: Breaker) -> float:
    """Of its open time."""
    assert fuse.until is not None
    return fuse.until


def test_the_table_knows_every_state_and_event() -> None:
    assert set(TRANSITIONS) == set(product(State, Event))


@pytest.mark.parametrize(
    ("outcomes", "states"),
    [
        ("-----+", "ccccox"),
        ("----+----+-----", "cccccccccccccco"),
        ("--..---", "cccccco"),  # who leaves says nothing
        ("-+" * 9 + "--", "c" * 19 + "o"),  # half of twenty
        ("-+" * 9 + "+-", "c" * 19 + "o"),
        ("++-" * 30, "c" * 90),
        ("-+" * 9 + "-", "c" * 19),  # too few to say
        ("~~~~~+", "ccccox"),
        ("-~-~-", "cccco"),  # what is taken back ends no row
        ("~~+~~~~+", "c" * 8),
        ("~+" * 9 + "+~", "c" * 19 + "o"),  # each attempt counts once
        ("~+" * 9 + "~", "c" * 19),
    ],
)
def test_it_opens_after_failures_in_a_row_or_by_their_share(outcomes: str, states: str) -> None:
    assert feed(breaker(), outcomes) == states


def test_the_share_of_failures_is_that_of_the_window() -> None:
    fuse = breaker()
    for n in range(100):  # a pair every ten seconds: at most fourteen within a minute
        assert feed(fuse, "+-", 10.0 * n) == "cc"
    assert feed(fuse, "+-" * 10, 2000.0)[-2:] == "co"


def test_a_threshold_above_half_of_twenty_counts_for_the_share_as_well() -> None:
    assert feed(breaker(failure_threshold=15), "+-" * 15) == "c" * 29 + "o"


@pytest.mark.parametrize(
    ("trials", "states"),
    [
        ("+++-", "hhcc"),  # closed by as many successes as trials are let in
        ("-", "o"),
        ("++-", "hho"),
        (".+.+.+", "hhhhhc"),
        ("+~", "ho"),
    ],
)
def test_after_the_open_time_trials_decide(trials: str, states: str) -> None:
    fuse = breaker()
    feed(fuse, "-----")
    assert feed(fuse, "+", 59.9) == "x"
    assert feed(fuse, trials, 60.0) == states


def test_of_answers_that_all_break_off_at_once_each_is_a_failure_in_the_row() -> None:
    fuse = breaker()
    begun = [begin(fuse, 0, 0.0) for _ in range(6)]
    for each in begun[:4]:
        take_back(fuse, each, 1.0)
    assert (fuse.state, fuse.failures_in_row) == (State.CLOSED, 4)
    take_back(fuse, begun[4], 1.0)
    assert fuse.state is State.OPEN
    take_back(fuse, begun[5], 1.0)
    assert fuse.openings == 1


def test_an_answer_that_breaks_off_after_others_have_begun_is_one_failure_alone() -> None:
    fuse = breaker()
    feed(fuse, "----")
    broken = begin(fuse, 0, 0.0)
    feed(fuse, "+")
    take_back(fuse, broken, 1.0)
    assert fuse.failures_in_row == 1


def test_an_answer_that_began_before_the_present_state_breaks_off_unheard() -> None:
    fuse = breaker()
    old = begin(fuse, 0, 0.0)
    feed(fuse, "-----")
    take_back(fuse, old, 60.0)
    feed(fuse, "+++", 60.0)
    take_back(fuse, old, 61.0)
    assert (fuse.state, fuse.failures_in_row, fuse.openings) == (State.CLOSED, 0, 1)


def test_half_open_no_more_than_its_places_are_let_in_at_once() -> None:
    fuse = breaker(half_open_probes=2)
    feed(fuse, "-----")
    first, second = fuse.enter(60.0), fuse.enter(60.0)
    assert first is not None and second is not None
    assert (fuse.enter(60.0), fuse.retry_after(60.0)) == (None, 1.0)
    fuse.leave(first)
    third = fuse.enter(61.0)
    assert third is not None
    fuse.succeed(second, 62.0)
    fuse.succeed(third, 62.0)
    assert fuse.state is State.CLOSED


def test_the_open_time_doubles_and_shrinks_after_lasting_success() -> None:
    fuse, now, times = breaker(half_open_probes=1), 0.0, []
    feed(fuse, "-----")
    for _ in range(5):
        times.append(end_of(fuse) - now)
        now = end_of(fuse)
        feed(fuse, "-", now)
    assert times == [60.0, 120.0, 240.0, 300.0, 300.0]
    now = end_of(fuse)
    feed(fuse, "+", now)
    feed(fuse, "+-----", now + 299.0)  # not closed for as long as it was open
    assert end_of(fuse) - now - 299.0 == 300.0
    now = end_of(fuse)
    feed(fuse, "+", now)
    feed(fuse, "+", now + 300.0)
    feed(fuse, "-----", now + 400.0)
    assert end_of(fuse) - now - 400.0 == 60.0


def test_a_quiet_time_is_no_lasting_success() -> None:
    fuse = breaker(half_open_probes=1)
    feed(fuse, "-----")
    feed(fuse, "+", 60.0)
    feed(fuse, "-----", 9000.0)
    assert end_of(fuse) == 9120.0


def test_open_times_differ_and_are_never_longer_than_configured() -> None:
    seconds = set()
    for seed in range(50):
        fuse, rng = breaker(failure_threshold=1), Random(seed)
        fuse.fail(0, 0.0, rng)
        seconds.add(end_of(fuse))
    assert len(seconds) == 50
    assert 48.0 <= min(seconds) < 50.0 and 58.0 < max(seconds) <= 60.0


def test_in_manual_mode_only_the_operator_closes_it() -> None:
    fuse = breaker(mode="manual_reset")
    feed(fuse, "-----")
    assert feed(fuse, "+", 1e9) == "x"
    assert (fuse.retry_after(1e9), fuse.until) == (None, None)
    fuse.reset(1e9)
    assert feed(fuse, "+----", 1e9) == "ccccc"


def test_what_began_in_an_earlier_state_does_not_count() -> None:
    fuse = breaker()
    early = [fuse.enter(0.0) for _ in range(9)]
    feed(fuse, "-----")
    half = [fuse.enter(60.0) for _ in range(2)]
    for version in early[:3]:
        assert version is not None
        fuse.succeed(version, 60.0)
        fuse.fail(version, 60.0, FULL)
        fuse.leave(version)
    assert (fuse.state, fuse.trials) == (State.HALF_OPEN, 2)
    fuse.reset(61.0)
    for version in (*early, *half):
        assert version is not None
        fuse.fail(version, 61.0, FULL)
    assert (fuse.state, fuse.failures_in_row) == (State.CLOSED, 0)


def test_switched_off_it_closes_and_stays_closed() -> None:
    fuse = breaker()
    feed(fuse, "-----")
    fuse.configure(CircuitBreakerConfig(enabled=False), 1.0)
    assert feed(fuse, "-" * 50, 1.0) == "c" * 50


def test_a_clock_that_is_set_back_ends_the_open_time() -> None:
    fuse = breaker()
    feed(fuse, "-----", 1e9)
    assert feed(fuse, "+", 5000.0) == "h"


def test_other_settings_hold_from_now_on() -> None:
    fuse = breaker()
    feed(fuse, "----")
    fuse.configure(CircuitBreakerConfig(failure_threshold=3), 0.0)
    assert feed(fuse, "-") == "o"
    feed(fuse, "----")
    fuse.configure(CircuitBreakerConfig(window=5.0), 0.0)
    assert fuse.retry_after(0.0) == 60.0


def test_a_failure_that_decides_nothing_yet_is_counted() -> None:
    fuse = breaker()
    for _ in range(9):
        fuse.fail(0, 0.0, FULL, may_open=False)
    assert (fuse.state, fuse.failures_in_row) == (State.CLOSED, 9)
    assert feed(fuse, "-") == "o"


@dataclass
class Seen:
    """What an attempt came to: when, and whether well. `began`: it counts as an attempt, and `parts`: as the end of a
    row of failures."""

    at: float
    good: bool
    began: bool = True
    parts: bool = True


class Model(RuleBasedStateMachine):
    """All that ever happened, in lists, and the rules applied to them naively."""

    attempts = st.integers(0, 30)

    @initialize(threshold=st.integers(1, 12), probes=st.integers(1, 3), manual=st.booleans())
    def begin(self, threshold: int, probes: int, manual: bool) -> None:
        mode = "manual_reset" if manual else "auto_recovery"
        self.config = CircuitBreakerConfig(failure_threshold=threshold, half_open_probes=probes, mode=mode)
        self.fuse = Breaker(self.config, Versions())
        self.now = 1000.0
        self.state = "closed"
        self.epoch = 0  # changes of state so far
        self.entered: list[tuple[int, int]] = []  # under way: our epoch, its version
        self.seen: list[Seen] = []  # in this epoch
        self.begun: list[tuple[int, tuple[int, Success], Seen]] = []  # answers: our epoch, what it counts by, and as
        self.opened_at = self.open_for = 0.0
        self.closed_at = self.good_at = 0.0
        self.openings = 0

    def change(self, state: str) -> None:
        self.state, self.epoch, self.seen = state, self.epoch + 1, []
        if state == "closed":
            self.closed_at = self.good_at = self.now

    def open(self) -> None:
        self.open_for = min(60.0 * 2.0**self.openings, 300.0)
        self.openings += 1
        self.opened_at = self.now
        self.change("open")

    def time_passes(self) -> None:
        over = self.now >= self.opened_at + self.open_for
        if self.state == "open" and over and self.config.mode == "auto_recovery":
            self.change("half_open")

    def trials(self) -> int:
        return sum(epoch == self.epoch for epoch, _ in self.entered)

    def too_many(self) -> bool:
        row = 0
        for seen in self.seen:
            row = row + 1 if not seen.good else 0 if seen.parts else row
        step = self.config.window / SLOTS
        lately = [seen for seen in self.seen if seen.at // step >= self.now // step - SLOTS]
        failures = sum(not seen.good for seen in lately)
        attempts = sum(seen.began for seen in lately)
        threshold = self.config.failure_threshold
        by_share = attempts >= VOLUME and 2 * failures >= attempts and failures >= threshold
        return row >= threshold or by_share

    @rule(seconds=st.sampled_from([0.5, 4.0, 30.0, 61.0, 120.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(times=st.integers(1, 12))
    def enter(self, times: int) -> None:
        for _ in range(times):
            self.time_passes()
            full = self.state == "half_open" and self.trials() >= self.config.half_open_probes
            expected = self.state != "open" and not full
            assert self.fuse.admits(self.now) is expected
            version = self.fuse.enter(self.now)
            assert (version is not None) is expected
            if version is not None:
                self.entered.append((self.epoch, version))

    @rule(which=attempts, good=st.sampled_from([True, False, False]), times=st.integers(1, 6))
    def end(self, which: int, good: bool, times: int) -> None:
        for _ in range(times):
            if not self.entered:
                return
            epoch, version = self.entered.pop(which % len(self.entered))
            if good:
                self.fuse.succeed(version, self.now)
            else:
                self.fuse.fail(version, self.now, FULL)
            if epoch == self.epoch:
                self.count(Seen(self.now, good))

    @rule(which=attempts, times=st.integers(1, 6))
    def begin_an_answer(self, which: int, times: int) -> None:
        for _ in range(min(times, len(self.entered))):
            epoch, version = self.entered.pop(which % len(self.entered))
            begun, seen = begin(self.fuse, version, self.now), Seen(self.now, good=True)
            if epoch == self.epoch:
                self.count(seen)
                self.begun.append((self.epoch, begun, seen))
            else:
                self.begun.append((-1, begun, seen))

    @rule(which=attempts, times=st.integers(1, 6))
    def break_off(self, which: int, times: int) -> None:
        for _ in range(min(times, len(self.begun))):
            epoch, begun, seen = self.begun.pop(which % len(self.begun))
            take_back(self.fuse, begun, self.now)
            if epoch == self.epoch:
                good = [other for other in self.seen if other.good]
                seen.parts = not good or good[-1] is not seen
                self.count(Seen(self.now, good=False, began=False))

    def count(self, seen: Seen) -> None:
        self.seen.append(seen)
        good = seen.good
        if self.state == "half_open":
            if not good:
                self.open()
            elif len(self.seen) >= self.config.half_open_probes:
                self.change("closed")
        elif good:
            self.good_at = self.now
        elif self.too_many():
            if self.good_at - self.closed_at >= self.open_for:
                self.openings = 0
            self.open()

    @rule(which=attempts)
    def leave(self, which: int) -> None:
        if self.entered:
            _, version = self.entered.pop(which % len(self.entered))
            self.fuse.leave(version)

    @rule()
    def reset(self) -> None:
        self.fuse.reset(self.now)
        self.openings = 0
        self.change("closed")

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "fuse"):
            return
        assert self.fuse.state.value == self.state
        assert self.fuse.trials == (self.trials() if self.state == "half_open" else 0)
        assert self.fuse.openings == self.openings
        if self.state == "open" and self.config.mode == "auto_recovery":
            assert self.fuse.until == self.opened_at + self.open_for


TestModel = Model.TestCase
