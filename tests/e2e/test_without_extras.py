"""The gateway with h11 alone: orjson and uvloop are faster, not necessary."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import run
from tests.e2e.load import Caller
from tests.e2e.process import ROOT, gateway, one_provider, write_keys
from tests.fakes.provider import FakeProvider

BLOCKER = "import sys\nsys.modules['orjson'] = None\nsys.modules['uvloop'] = None\n"


def test_it_serves_plain_and_streamed_answers_without_orjson_and_uvloop(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKER)

    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, ["sk-good-0000000000000001"])
            path = f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
            async with gateway(tmp_path, one_provider(fake.base_url), PYTHONPATH=path) as running:
                caller = Caller(running.address)
                assert (await caller.chat()).json["choices"]
                assert (await caller.chat(stream=True)).body.endswith(b"data: [DONE]\n\n")
                assert (await caller.request("GET", "/v1/models")).json["data"]
                caller.close()

    run(scenario())


def test_the_blocker_blocks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    found = subprocess.run(
        [sys.executable, "-c", "import gateway.jsonlib as j; print(j.loads.__module__, 'orjson' in dir(j))"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["gateway.jsonlib", "False"]
