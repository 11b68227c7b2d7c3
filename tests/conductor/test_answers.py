"""Answers in memory: how much room they take, how long they stay, and which go first."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.conductor.answers import OVERHEAD, Answers, KeptAnswer, read_answer

HEADERS = ((b"content-type", b"application/json"), (b"x-llmgateway-provider", b"main"))


def answer(size: int = 10, made_at: float = 0.0) -> KeptAnswer:
    return KeptAnswer(made_at, HEADERS, b"x" * size, False, "main", "gpt-4o", 0)


def key(n: int) -> bytes:
    return bytes([n]) * 32


def test_an_answer_is_found_until_it_is_too_old() -> None:
    answers = Answers(100_000, 60.0)
    answers.keep(key(1), answer(made_at=100.0), 100.0)
    assert answers.find(key(1), 159.9) is not None
    assert answers.find(key(1), 160.0) is None
    assert (len(answers), answers.used) == (0, 0)


def test_an_answer_of_a_time_to_come_is_not_believed() -> None:
    answers = Answers(100_000, 60.0)
    answers.keep(key(1), answer(made_at=100.0), 100.0)
    assert answers.find(key(1), 99.0) is None
    assert len(answers) == 0


def test_what_nobody_has_asked_for_longest_goes_first() -> None:
    answers = Answers(3 * answer().size, 60.0)
    for n in (1, 2, 3):
        answers.keep(key(n), answer(), 0.0)
    answers.find(key(1), 1.0)
    answers.keep(key(4), answer(), 2.0)
    assert [n for n in (1, 2, 3, 4) if answers.find(key(n), 3.0)] == [1, 3, 4]


def test_answers_that_are_too_old_go_when_another_comes() -> None:
    answers = Answers(100_000, 60.0)
    for n in (1, 2):
        answers.keep(key(n), answer(), 0.0)
    answers.keep(key(3), answer(made_at=61.0), 61.0)
    assert (len(answers), answers.used) == (1, answer().size)


def test_an_answer_that_is_larger_than_the_cache_moves_nothing() -> None:
    answers = Answers(2 * answer().size, 60.0)
    answers.keep(key(1), answer(), 0.0)
    answers.keep(key(2), answer(100_000), 0.0)
    assert answers.find(key(1), 1.0) is not None
    assert answers.find(key(2), 1.0) is None


def test_answers_on_their_way_get_half_of_the_room() -> None:
    answers = Answers(10_000, 60.0)
    assert answers.claim(5000)
    assert not answers.claim(1)
    answers.release(5000)
    assert answers.claim(1)


class Life(RuleBasedStateMachine):
    """The accounts always say what is there."""

    LIMIT = 20_000

    def __init__(self) -> None:
        super().__init__()
        self.answers = Answers(self.LIMIT, 60.0)
        self.now = 1000.0
        self.claims: list[int] = []
        self.kept: dict[int, KeptAnswer] = {}

    @rule(n=st.integers(0, 20), size=st.integers(0, 25_000))
    def keep(self, n: int, size: int) -> None:
        self.kept[n] = answer(size, self.now)
        self.answers.keep(key(n), self.kept[n], self.now)

    @rule(n=st.integers(0, 20))
    def find(self, n: int) -> None:
        found = self.answers.find(key(n), self.now)
        assert found is None or (found is self.kept[n] and 0 <= found.age(self.now) < 60)

    @rule(size=st.integers(0, 25_000))
    def claim(self, size: int) -> None:
        if self.answers.claim(size):
            self.claims.append(size)

    @precondition(lambda self: self.claims)
    @rule()
    def release(self) -> None:
        self.answers.release(self.claims.pop())

    @rule(seconds=st.floats(-5, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def clear(self) -> None:
        self.answers.clear()

    @invariant()
    def accounts_are_right(self) -> None:
        there = list(self.answers._of.values())
        assert self.answers.used == sum(each.size for each in there)
        assert len(self.answers) == len(there)
        assert self.answers.claimed == sum(self.claims) <= self.LIMIT // 2
        assert self.answers.used + self.answers.claimed <= self.LIMIT


TestLife = Life.TestCase


def test_the_overhead_is_no_less_than_what_an_answer_takes() -> None:
    count, answers = 500, Answers(1 << 30, 60.0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(count):
            headers = tuple((bytes(name), bytes(bytearray(value))) for name, value in HEADERS)
            kept = KeptAnswer(1e9, headers, b"x" * (1000 + n % 7), True, f"main{n}", f"gpt-4o-{n}", 10**9 + n)
            answers.keep(n.to_bytes(32), kept, 1e9)
            del kept, headers
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 1000 * len(answers) < taken <= answers.used


@pytest.mark.parametrize("body", [b"", b"\n\n{}\x00\xff", b"data: x\n\n"])
def test_an_answer_in_bytes_is_the_same_answer(body: bytes) -> None:
    made = KeptAnswer(1.5, (*HEADERS, (b"x-llmgateway-dropped", b"\xe9")), body, True, "main", "m", 10**15)
    assert read_answer(made.to_bytes()) == made


@pytest.mark.parametrize("data", [b"", b"x", b"{}", b"[]\n", b'{"form":2}\n', b'{"form":1}\n', b"null\n", b"1\nx"])
def test_what_is_no_answer_is_none(data: bytes) -> None:
    assert read_answer(data) is None


@given(st.binary(max_size=200))
def test_no_bytes_can_break_the_reader(data: bytes) -> None:
    read_answer(data)
    read_answer(b'{"form":1,"made_at":1,"headers":[],"streamed":1,"provider":"a","model":"b","cost":' + data)


def test_the_size_counts_body_headers_and_overhead() -> None:
    assert answer(5).size == OVERHEAD + 5 + sum(len(name) + len(value) for name, value in HEADERS)
