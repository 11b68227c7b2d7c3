"""Which key made which answer: memory first, then the database, each within its bounds."""

from __future__ import annotations

import pytest

from gateway.errors import StoreUnavailable
from gateway.upstream import owners as module
from gateway.upstream.owners import Owner, ResponseOwners
from tests.conftest import run

ONE, TWO = Owner("main", "aa", "m", "ann"), Owner("main", "bb", "m", "")


class Database:
    """What is asked, and what it answers."""

    def __init__(self, **known: Owner) -> None:
        self.known = known
        self.asked: list[str] = []
        self.away = False

    async def look_up(self, response_id: str) -> Owner | None:
        self.asked.append(response_id)
        if self.away:
            raise StoreUnavailable("away")
        return self.known.get(response_id)


def test_what_memory_knows_is_not_looked_up() -> None:
    database = Database(older=TWO)
    owners = ResponseOwners(database.look_up)
    owners.remember("newer", ONE)
    assert run(owners.owner("newer")) == ONE
    assert database.asked == []
    assert run(owners.owner("older")) == TWO
    assert run(owners.owner("nobody's")) is None
    assert database.asked == ["older", "nobody's"]


def test_without_the_database_only_memory_answers() -> None:
    database = Database()
    database.away = True
    owners = ResponseOwners(database.look_up)
    owners.remember("known", ONE)
    assert run(owners.owner("known")) == ONE
    with pytest.raises(StoreUnavailable):
        run(owners.owner("unknown"))


def test_pending_ones_are_taken_once() -> None:
    owners = ResponseOwners(Database().look_up)
    owners.remember("r1", ONE)
    owners.remember("r2", TWO)
    assert owners.take_pending() == [("r1", ONE), ("r2", TWO)]
    assert owners.take_pending() == []


def test_what_could_not_be_written_comes_again_before_what_is_newer() -> None:
    owners = ResponseOwners(Database().look_up)
    owners.remember("r1", ONE)
    pending = owners.take_pending()
    owners.remember("r2", ONE)
    owners.give_back(pending)
    assert owners.take_pending() == [("r1", ONE), ("r2", ONE)]


def test_memory_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OWNERS_LIMIT", 2)
    database = Database()
    owners = ResponseOwners(database.look_up)
    for name in ("r1", "r2", "r3"):
        owners.remember(name, ONE)
    assert [run(owners.owner(name)) for name in ("r1", "r2", "r3")] == [None, ONE, ONE]
    assert database.asked == ["r1"]


def test_while_the_database_is_away_the_oldest_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENDING_LIMIT", 3)
    owners = ResponseOwners(Database().look_up)
    for name in ("r1", "r2"):
        owners.remember(name, ONE)
    pending = owners.take_pending()
    for name in ("r3", "r4"):
        owners.remember(name, ONE)
    owners.give_back(pending)
    assert [name for name, _ in owners.take_pending()] == ["r2", "r3", "r4"]
    for name in ("r5", "r6", "r7", "r8"):
        owners.remember(name, ONE)
    assert [name for name, _ in owners.take_pending()] == ["r6", "r7", "r8"]
