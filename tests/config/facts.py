"""What the configuration's tests share: a table of provider types, and short ways to load and to fail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.config.load import parse_config
from gateway.config.model import Config
from gateway.config.validate import ProviderFacts
from gateway.errors import ConfigError, Problem

OUTCOMES = frozenset({"rate_limited", "no_quota", "bad_request"})
FACTS = {
    "openai": ProviderFacts("https://api.openai.com/v1", True, OUTCOMES),
    "echo": ProviderFacts("", False, OUTCOMES),
    "azure": ProviderFacts("", True, OUTCOMES),
}
ECHO = '[providers.main]\ntype = "echo"\n'
PATH = Path("/etc/gateway/config.toml")


def parse(text: str, environ: Mapping[str, str] | None = None, path: Path = PATH) -> Config:
    return parse_config(text, path, environ or {}, FACTS)


def problems_of(text: str, environ: Mapping[str, str] | None = None, path: Path = PATH) -> dict[str, Problem]:
    """The problems of a text by setting."""
    with pytest.raises(ConfigError) as caught:
        parse(text, environ, path)
    return {problem.key: problem for problem in caught.value.problems}
