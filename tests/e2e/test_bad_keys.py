"""A pool of which more than half is bad, and a client that never notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import run
from tests.e2e.load import load
from tests.e2e.process import gateway, one_provider, write_keys
from tests.fakes.behaviours import rate_limited, server_error, unauthorized
from tests.fakes.provider import FakeProvider


@pytest.mark.parametrize("probe", ["none", "models"])
def test_five_thousand_requests_through_550_bad_keys_of_1000_show_no_failure(tmp_path: Path, probe: str) -> None:
    invalid = [f"sk-invalid-{n:012}" for n in range(300)]
    limited = [f"sk-limited-{n:012}" for n in range(200)]
    failing = [f"sk-failing-{n:012}" for n in range(50)]
    good = [f"sk-good-{n:012}" for n in range(450)]

    async def scenario() -> None:
        async with FakeProvider() as fake:
            for keys, behaviour in ((invalid, unauthorized()), (limited, rate_limited(600)), (failing, server_error())):
                for key in keys:
                    fake.script(key, behaviour)
            write_keys(tmp_path, invalid + limited + failing + good)  # the bad ones in a row: the worst order
            retry = "[providers.main.retry]\non_server_error = {attempts = 2}"
            config = one_provider(fake.base_url, provider=retry, probe=probe)
            async with gateway(tmp_path, config) as running:
                tally = await load(running.address, 5000, 50)
        assert tally.statuses() == {200}
        assert len(tally.answers) == 5000 and not tally.cut and not tally.refused
        assert max(fake.calls_by_key[key] for key in invalid) == 1
        assert max(fake.calls_by_key[key] for key in limited) <= 2
        assert max(fake.calls_by_key[key] for key in failing) <= 2

    run(scenario(), 120)
