"""A short run of `chaos.py`, which has more to say."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run
from tests.e2e.chaos import Chaos


def test_nothing_is_left_of_two_hundred_clients_and_three_providers_of_which_one_is_always_sick(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, seconds=6, phase=3, success=0)

    run(chaos.run(), 120)

    assert not chaos.wrong, chaos.report()
