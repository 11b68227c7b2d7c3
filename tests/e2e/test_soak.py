"""A drop of `soak.py`: too short to tell about memory, long enough to tell about answers."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run
from tests.e2e.deck import KINDS
from tests.e2e.soak import judge, soak

REQUESTS = 1000
"""As many as there are cards in the deck."""


def test_every_kind_of_request_is_answered_as_expected(tmp_path: Path) -> None:
    deck, samples, _ = run(soak(tmp_path, REQUESTS, 32, 1), 120)

    assert not deck.odd
    assert {name for name, _ in deck.outcomes} == {kind.name for kind in KINDS}
    assert deck.outcomes.total() + deck.broken == REQUESTS
    _, lines = judge(samples)
    assert [line.split()[0] for line in lines] == ["memory", "second", "files", "tasks"]
