"""A pool on the left, the files about it on the right."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config.model import InventoryConfig
from gateway.keeper.inventory import Inventory
from gateway.keeper.keylines import parse_key_lines
from gateway.policy.verdict import Scope
from tests.conftest import run
from tests.keeper.rig import MODEL, NOW, Rig, rig

ONE, TWO, THREE = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-three-00000000000003"


class Place:
    """A rig with three keys, and the folder of its inventories."""

    def __init__(self, r: Rig, folder: Path) -> None:
        self.rig = r
        self.folder = folder
        self.inventory = Inventory(r.log)
        self.arrange()

    def arrange(self, *, full: bool = False, enabled: bool = True, interval: float = 3600.0) -> None:
        config = InventoryConfig(enabled=enabled, interval=interval, full_keys=full, path=str(self.folder))
        self.inventory.arrange(config, {"main": self.rig.pool})

    def files(self) -> dict[str, list[dict[str, Any]]]:
        """The rows by file; one that goes away while it is looked at is no longer there."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(self.folder.rglob("*")):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                rows[str(path.relative_to(self.folder))] = [json.loads(line) for line in path.read_text().splitlines()]
        return rows

    def keys(self) -> dict[str, list[str]]:
        return {name: [row["key"] for row in rows] for name, rows in self.files().items()}


def place_test(play: Callable[[Place], Awaitable[None]]) -> Callable[[Path], None]:
    """A test that plays in a place of its own."""

    def test(tmp_path: Path) -> None:
        async def scenario() -> None:
            async with rig(tmp_path) as r:
                r.write(ONE, f"{TWO} account=a", THREE)
                await r.sync.sync()
                await play(Place(r, tmp_path / "inventory"))

        run(scenario())

    return test


@place_test
async def test_each_status_has_a_file_with_its_keys(place: Place) -> None:
    place.rig.succeed(ONE)
    place.rig.bench(TWO, NOW + 1000)
    await place.inventory.write()
    assert place.keys() == {
        "main/rate_limited.ndjson": ["sk-…0002"],
        "main/untested.ndjson": ["sk-…0003"],
        "main/valid.ndjson": ["sk-…0001"],
    }
    (row,) = place.files()["main/rate_limited.ndjson"]
    assert (row["provider"], row["model"], row["until"], row["labels"]) == ("main", None, NOW + 1000, {"account": "a"})
    assert "value" not in row
    assert TWO not in (place.folder / "main/rate_limited.ndjson").read_text()


@place_test
async def test_files_and_folders_are_their_owners_alone(place: Place) -> None:
    await place.inventory.write()
    assert place.folder.stat().st_mode & 0o777 == 0o700
    assert (place.folder / "main").stat().st_mode & 0o777 == 0o700
    assert (place.folder / "main/untested.ndjson").stat().st_mode & 0o777 == 0o600


@place_test
async def test_a_status_that_no_key_has_any_more_has_no_file(place: Place) -> None:
    await place.inventory.write()
    (place.folder / "main/notes.txt").write_text("{}")
    for key in (ONE, TWO, THREE):
        place.rig.succeed(key)
    await place.inventory.write()
    assert set(place.files()) == {"main/notes.txt", "main/valid.ndjson"}


@place_test
async def test_a_key_with_a_status_for_one_model_has_a_line_for_it(place: Place) -> None:
    place.rig.bench(ONE, NOW + 50, Scope.KEY_MODEL)
    await place.inventory.write()
    (row,) = place.files()["main/rate_limited.ndjson"]
    assert (row["key"], row["model"]) == ("sk-…0001", MODEL)


@place_test
async def test_what_has_not_changed_is_not_written_again(place: Place) -> None:
    place.rig.succeed(ONE)
    await place.inventory.write()
    valid, untested = place.folder / "main/valid.ndjson", place.folder / "main/untested.ndjson"
    before = valid.stat(), untested.stat()
    place.rig.now += 60
    place.rig.succeed(ONE)  # a success more is no news
    await place.inventory.write()
    assert (valid.stat(), untested.stat()) == before
    place.rig.succeed(TWO)
    await place.inventory.write()
    assert valid.stat().st_ino != before[0].st_ino
    assert place.keys()["main/untested.ndjson"] == ["sk-…0003"]
    valid.unlink()
    await place.inventory.write()
    assert valid.exists()


@place_test
async def test_the_keys_themselves_are_there_only_when_asked_for(place: Place) -> None:
    await place.inventory.write()
    place.arrange(full=True)
    await place.inventory.write()
    data = (place.folder / "main/untested.ndjson").read_bytes()
    assert {entry.secret.reveal() for entry in parse_key_lines(data, ndjson=True).entries} == {ONE, TWO, THREE}
    place.arrange()
    await place.inventory.write()
    assert not any("value" in row for row in place.files()["main/untested.ndjson"])


@place_test
async def test_a_provider_that_is_gone_has_no_inventory(place: Place) -> None:
    await place.inventory.write()
    place.inventory.arrange(InventoryConfig(enabled=True, path=str(place.folder)), {})
    (place.folder / "mine").mkdir()
    (place.folder / "mine/notes.txt").write_text("{}")
    await place.inventory.write()
    assert set(place.files()) == {"mine/notes.txt"}
    assert not (place.folder / "main").exists()


@place_test
async def test_a_folder_that_cannot_be_written_is_told_once(place: Place) -> None:
    place.folder.write_text("in the way")
    for _ in range(2):
        await place.inventory.write()
    (line,) = place.rig.logged("inventory_not_written")
    assert line["detail"] == f"{place.folder}: File exists"


@place_test
async def test_the_failure_lasts_until_it_is_over(place: Place) -> None:
    place.folder.write_text("in the way")
    await place.inventory.write()
    assert place.inventory.failure == f"{place.folder}: File exists"
    place.folder.unlink()
    await place.inventory.write()
    assert place.inventory.failure == ""


@pytest.mark.parametrize("elsewhere", [True, False], ids=["moved", "switched off"])
@pytest.mark.parametrize("full", [True, False])
def test_an_inventory_that_is_no_more_leaves_no_file_of_its_own(tmp_path: Path, elsewhere: bool, full: bool) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE, TWO)
            await r.sync.sync()
            place = Place(r, tmp_path / "inventory")
            place.arrange(full=full)
            running = asyncio.create_task(place.inventory.run(), name="inventory")
            while not place.folder.exists() or not place.keys():
                await asyncio.sleep(0.001)
            (place.folder / "main/notes.txt").write_text("{}")
            place.inventory.arrange(
                InventoryConfig(enabled=elsewhere, path=str(tmp_path / "other"), full_keys=full), {"main": r.pool}
            )
            while set(place.files()) != {"main/notes.txt"}:
                await asyncio.sleep(0.001)
            while elsewhere and not (tmp_path / "other/main/untested.ndjson").exists():
                await asyncio.sleep(0.001)
            assert elsewhere or not (tmp_path / "other").exists()
            running.cancel()

    run(scenario())


def test_an_inventory_that_was_never_on_removes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            place = Place(r, tmp_path / "inventory")
            place.inventory = Inventory(r.log)
            (place.folder / "main").mkdir(parents=True)
            (place.folder / "main/valid.ndjson").write_text("{}")
            running = asyncio.create_task(place.inventory.run(), name="inventory")
            for path in ("inventory", "other", "inventory"):
                place.inventory.arrange(InventoryConfig(enabled=False, path=str(tmp_path / path)), {"main": r.pool})
                await asyncio.sleep(0)
            await asyncio.to_thread(lambda: None)
            running.cancel()
            assert set(place.files()) == {"main/valid.ndjson"}

    run(scenario())


@pytest.mark.parametrize("enabled", [True, False])
def test_it_writes_when_it_is_arranged_and_at_every_interval(tmp_path: Path, enabled: bool) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as r:
            r.write(ONE)
            await r.sync.sync()
            place = Place(r, tmp_path / "inventory")
            place.arrange(enabled=enabled, interval=0.01)
            running = asyncio.create_task(place.inventory.run(), name="inventory")
            if not enabled:
                await asyncio.sleep(0)
                place.arrange(enabled=True, interval=0.01)
            while not place.folder.exists() or not place.keys():
                await asyncio.sleep(0.001)
            r.succeed(ONE)
            while set(place.keys()) != {"main/valid.ndjson"}:
                await asyncio.sleep(0.001)
            running.cancel()

    run(scenario())
