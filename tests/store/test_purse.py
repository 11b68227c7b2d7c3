"""What requests leave to the next: never money that is not reserved, and not for long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.purse import KEEP_FROM, Ended, Purse

AMOUNTS = st.integers(0, 50)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), AMOUNTS),
        st.tuples(st.just("end"), AMOUNTS),
        st.tuples(st.just("look"), st.just(0)),
        st.tuples(st.just("close"), st.just(0)),
    ),
    max_size=60,
)


class Bank:
    """The rows in the database, and the requests that have what is in them."""

    def __init__(self) -> None:
        self.purse = Purse()
        self.rows: dict[str, int] = {}
        self.requests: dict[str, int] = {}
        self.asked = 0

    def ask(self, amount: int) -> None:
        """As the ledger does: out of what is spare, or of the database."""
        self.asked += 1
        name = f"request {self.asked}"
        if 0 < amount <= self.purse.spare:
            self.purse.begin(name, amount)
        else:
            self.rows[name] = amount
            self.purse.add(name, amount)
        self.requests[name] = amount

    def end(self, cost: int) -> None:
        name, _ = self.requests.popitem()
        ended = self.purse.end(name, cost)
        assert ended is not None
        self.give_back(ended)

    def give_back(self, ended: Ended) -> None:
        for row in ended.ids:
            del self.rows[row]
        for row, amount in ended.less:
            self.rows[row] -= amount
            assert self.rows[row] > 0

    @property
    def reserved(self) -> int:
        return sum(self.rows.values())

    @property
    def held(self) -> int:
        return sum(self.requests.values())


@given(STEPS)
def test_what_is_spare_is_reserved_and_nobody_elses(steps: list[tuple[str, int]]) -> None:
    bank = Bank()
    for verb, amount in steps:
        if verb == "ask":
            bank.ask(amount)
        elif verb == "end" and bank.requests:
            bank.end(amount)
        elif verb == "look":
            bank.give_back(bank.purse.look())
        elif verb == "close":
            bank.give_back(bank.purse.close())
            assert not bank.purse.spare
        assert bank.purse.spare >= 0
        assert bank.reserved == bank.held + bank.purse.spare
    while bank.requests:
        bank.end(0)
    for _ in range(2):
        bank.give_back(bank.purse.look())
    assert bank.purse.idle
    assert not bank.rows


def flowing(count: int, amount: int) -> Bank:
    """After so many requests that cost nothing, one after the other."""
    bank = Bank()
    for _ in range(count):
        bank.ask(amount)
        bank.end(0)
    return bank


def test_who_asks_seldom_leaves_nothing() -> None:
    bank = flowing(KEEP_FROM - 1, 10)
    assert (bank.rows, bank.purse.spare) == ({}, 0)


def test_who_asks_often_leaves_what_was_not_used() -> None:
    bank = flowing(KEEP_FROM, 10)
    assert (bank.reserved, bank.purse.spare) == (10, 10)
    bank.ask(10)
    assert len(bank.rows) == 1, "the database was not asked"
    bank.end(3)
    assert (bank.reserved, bank.purse.spare) == (7, 7)


def test_a_request_that_costs_more_than_it_had_takes_what_is_spare() -> None:
    bank = flowing(KEEP_FROM, 10)
    bank.ask(6)
    bank.end(8)
    assert bank.purse.spare == 2
    bank.ask(1)
    bank.end(9)
    assert (bank.purse.spare, bank.reserved) == (0, 0)


def test_what_nobody_has_wanted_since_the_last_look_is_given_back() -> None:
    bank = flowing(KEEP_FROM, 10)
    bank.give_back(bank.purse.look())
    assert bank.purse.spare == 10, "it has not been there for long"
    bank.ask(4)
    bank.end(0)
    bank.give_back(bank.purse.look())
    assert bank.purse.spare == 4, "so much was wanted"
    bank.give_back(bank.purse.look())
    assert (bank.purse.spare, bank.purse.idle) == (0, True)


def test_a_request_ends_once() -> None:
    bank = Bank()
    bank.ask(10)
    assert bank.purse.end("request 1", 0) == Ended(["request 1"], [])
    assert bank.purse.end("request 1", 0) is None
