"""One gateway to a database file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import StartError, StoreUnavailable
from gateway.store.claim import claim_file
from tests.conftest import run
from tests.store.conftest import FILE, opened


def test_a_second_claim_is_refused_until_the_first_is_given_up(tmp_path: Path) -> None:
    first = claim_file(tmp_path / FILE)
    with pytest.raises(StartError, match="another gateway uses the database") as refused:
        claim_file(tmp_path / FILE)
    assert refused.value.exit_code == 4
    assert str(tmp_path / FILE) in refused.value.detail and "store.url" in refused.value.hint
    os.close(first)
    os.close(claim_file(tmp_path / FILE))


def test_a_claim_reaches_through_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / FILE)
    claim = claim_file(tmp_path / FILE)
    with pytest.raises(StartError):
        claim_file(tmp_path / "link.db")
    os.close(claim)


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    take = f"import sys, time; from gateway.store.claim import *; claim_file(Path({str(tmp_path / FILE)!r}));"
    take += "print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", take], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        with pytest.raises(StartError):
            claim_file(tmp_path / FILE)
        process.kill()
    os.close(claim_file(tmp_path / FILE))


def test_a_claim_makes_the_folder_and_its_file_for_the_owner_alone(tmp_path: Path) -> None:
    os.close(claim_file(tmp_path / "new" / FILE))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new", *(tmp_path / "new").iterdir())] == [
        0o700,
        0o600,
    ]


def test_a_folder_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file"):
        claim_file(tmp_path / "file" / FILE)


def test_a_claimed_database_can_be_opened_by_who_needs_no_claim(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as database:
            await database.ping()

    claim = claim_file(tmp_path / FILE)
    run(scenario())
    os.close(claim)
