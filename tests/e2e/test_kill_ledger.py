"""A few rounds of `kill_ledger.py`, which has more to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import run
from tests.e2e.kill_ledger import rounds


@pytest.mark.parametrize("seed", [1, 2])
def test_every_answer_received_whole_has_its_entry_exactly_once(tmp_path: Path, seed: int) -> None:
    run(rounds(tmp_path, 3, seed), 120)
