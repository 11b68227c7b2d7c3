"""The effective configuration as text."""

from __future__ import annotations

import tomllib
from pathlib import Path

from gateway.config.load import parse
from gateway.config.show import show_config
from tests.config.facts import FACTS
from tests.config.facts import parse as parse_text

TEXT = """
[providers."a.b"]
type = "openai"
base_url = "${file:url}"
models = ["x", "${file:url}"]
[providers."a.b".headers]
X-Team = "s3cret-header"
[providers."a.b".retry]
on_server_error = {attempts = 5}
[[providers."a.b".error_parsing.rules]]
match_pattern = "${file:url}"
map_to = "no_quota"
[[providers."a.b".error_parsing.rules]]
match_pattern = "second"
map_to = "bad_request"
priority = 4
[tokens.alice]
token = "s3cret-token"
[queue]
max = 5
[server]
allowed_hosts = ["a.example"]
"""


def show(tmp_path: Path, origins: bool) -> str:
    (tmp_path / "url").write_text("http://s3cret.example")
    environ = {"LLMGATEWAY__QUEUE__TIMEOUT": "3", "LLMGATEWAY__PROVIDERS__A__TYPE": "echo"}
    return show_config(parse(TEXT, tmp_path / "config.toml", environ, FACTS), origins)


def test_it_is_toml_with_every_setting_and_without_secrets(tmp_path: Path) -> None:
    text = show(tmp_path, origins=False)
    assert "s3cret" not in text
    shown = tomllib.loads(text)
    assert shown["tokens"]["alice"] == {
        "token": "****", "user": "alice", "scopes": ["use"], "providers": [], "models": [], "default_provider": "",
        "limits": {"requests_per_minute": 0, "requests_per_hour": 0, "tokens_per_minute": 0, "concurrency": 0},
    }  # fmt: skip
    provider = shown["providers"]["a.b"]
    assert provider["base_url"] == "****"
    assert provider["models"] == ["x", "****"]
    assert provider["headers"] == {"X-Team": "****"}
    assert provider["retry"]["on_server_error"] == {"attempts": 5, "backoff": 0.5, "factor": 2.0}
    assert shown["queue"] == {"max": 5, "timeout": 3.0}
    first, second = provider["error_parsing"]["rules"]
    assert (first["match_pattern"], second["match_pattern"], second["priority"]) == ("****", "second", 4)


def test_each_setting_says_where_it_comes_from(tmp_path: Path) -> None:
    lines = show(tmp_path, origins=True).splitlines()
    assert "max = 5  # file" in lines
    assert "timeout = 3.0  # LLMGATEWAY__QUEUE__TIMEOUT" in lines
    assert 'type = "echo"  # LLMGATEWAY__PROVIDERS__A__TYPE' in lines
    assert "on_server_error = { attempts = 5, backoff = 0.5, factor = 2.0 }  # file, default" in lines
    assert 'X-Team = "****"  # file' in lines
    assert "public = false  # default" in lines
    assert "priority = 4  # file" in lines
    assert all("  # " in line for line in lines[1:] if " = " in line)


def test_what_is_shown_loads_again_and_means_the_same(tmp_path: Path) -> None:
    text = '[providers.a]\ntype = "openai"\ndefault_model = "$${literal}"\n[auth]\nrequired = false\n'
    path = tmp_path / "config.toml"
    shown = show_config(parse(text, path, {}, FACTS), origins=True)
    assert parse_text(shown, path=path) == parse_text(text, path=path)
