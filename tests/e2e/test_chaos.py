"""A short run of `chaos.py`, which has more to say."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run
from tests.e2e.chaos import Chaos


def test_clients_see_nothing_of_a_sick_provider_and_nothing_is_left_of_them(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, seconds=6, phase=3)

    run(chaos.run(), 120)

    assert not chaos.wrong, chaos.report()
