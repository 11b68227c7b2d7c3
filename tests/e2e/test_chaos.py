"""A short run of `chaos.py`, which has more to say."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run
from tests.e2e.chaos import Chaos
from tests.e2e.faults import FAULTS, PASSED_ON


def test_clients_see_nothing_of_a_sick_provider_and_nothing_is_left_of_them(tmp_path: Path) -> None:
    seen = [name for name in FAULTS if name not in PASSED_ON]
    chaos = Chaos(tmp_path, seconds=6, phase=3, faults=seen)

    run(chaos.run(), 120)

    assert not chaos.wrong, chaos.report()
