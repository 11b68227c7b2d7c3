"""What a gateway loads: money, the cache, tokens of others and Redis only where they are configured.

Each of these takes its part of the start's half second and of the idle gateway's 40 MB.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import run
from tests.e2e.load import Caller
from tests.e2e.process import gateway, one_provider, write_keys
from tests.fakes.provider import FakeProvider

LISTER = """
import atexit, pathlib, sys
atexit.register(lambda: pathlib.Path(__file__).with_name("loaded").write_text("\\n".join(sys.modules)))
"""

AUTH = '[auth]\nrequired = true\n[tokens.ann]\ntoken = "token-of-ann-0123"\nscopes = ["admin"]\n'
REDIS = 'storage = "redis"\nurl = "redis://127.0.0.1:1"\n'
PRICES = {"gateway.conductor.billing", "gateway.daemon.pricefiles"} | {
    f"gateway.policy.{name}" for name in ("pricing", "pricelist")
}
CACHE = {"gateway.conductor.cache", "gateway.conductor.cachekeys"}
NEVER = {"gateway.policy.priceimport", "gateway.api.admin_prices", "gateway.store.backup", "asyncpg"}
OPTIONAL = {"jwt", "redis", "gateway.store.redis", "gateway.store.redisanswers"} | PRICES | CACHE | NEVER


@pytest.mark.parametrize(
    ("more", "loaded"),
    [
        ("", set()),
        (f'[auth.jwt]\nsecret = "{"s" * 32}"\n', {"jwt"}),
        (f"[limits]\n{REDIS}", {"redis", "gateway.store.redis"}),
        (f"{AUTH}[billing]\nenabled = true\n", PRICES),
        ("[cache]\nenabled = true\n", CACHE),
    ],
    ids=["nothing", "jwt", "redis", "billing", "cache"],
)
def test_only_what_is_configured_is_loaded(tmp_path: Path, more: str, loaded: set[str]) -> None:
    for name in loaded & {"jwt", "redis"}:
        if find_spec(name) is None:
            pytest.skip(f"needs {name}")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(LISTER)

    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, ["sk-good-0000000000000001"])
            path = f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
            async with gateway(tmp_path, one_provider(fake.base_url) + more, PYTHONPATH=path) as running:
                if not more:
                    caller = Caller(running.address)
                    assert (await caller.chat()).json["choices"]
                    assert (await caller.chat(stream=True)).body.endswith(b"data: [DONE]\n\n")
                    caller.close()

    run(scenario())
    modules = set((tmp_path / "site/loaded").read_text().split())
    assert "gateway.daemon.daemon" in modules
    assert modules & OPTIONAL == loaded


@pytest.mark.parametrize("name", sorted(name for name in OPTIONAL if name.startswith("gateway.")))
def test_a_module_that_is_not_to_be_loaded_is_there(name: str) -> None:
    assert find_spec(name) is not None
