"""`llmgateway config`, in a folder of its own."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

import pytest

from gateway.cli import config as command
from gateway.cli.program import program
from gateway.errors import ConfigError, GatewayError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no configuration, override or daemon from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.config.load.PLACES", (Path("config.toml"),))
    monkeypatch.setenv("LLMGATEWAY_SOCKET", str(tmp_path / "no.sock"))
    for name in ("LLMGATEWAY_CONFIG", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["config", *words])
    code: int = args.run(args)
    return code


def test_create_writes_a_file_that_passes_its_own_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create", "openai:main") == 0
    out = capsys.readouterr().out
    assert "next: put your keys into keys/main.txt" in out
    assert f"{program()} serve" in out
    keys = folder / "keys/main.txt"
    assert keys.read_text().startswith("#")
    assert keys.stat().st_mode & 0o777 == 0o600
    assert run("check") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{folder}/config.toml: ok, 1 provider, 0 API tokens, auth off, billing off, listening on 127.0.0.1:8000",
        "providers.main: 0 keys in 1 file",
    ]
    assert said.err == f"warning: providers.main: {folder}/keys/main.txt: has no keys\n"


def test_create_adds_to_the_file_and_leaves_its_mode_and_key_files(folder: Path) -> None:
    path = folder / "config.toml"
    path.write_text("# mine\n")
    path.chmod(0o640)
    (folder / "keys").mkdir()
    (folder / "keys/b.txt").write_text("sk-1\n")
    assert run("create", "echo:a", "openai:b", "--full") == 0
    assert path.read_text().startswith("# mine\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert (folder / "keys/b.txt").read_text() == "sk-1\n"
    assert not (folder / "keys/a.txt").exists()
    assert run("create", "echo:c", "--config", "new/config.toml") == 0
    assert run("check", "--config", "new/config.toml") == 0


def test_create_refuses_what_it_cannot_write(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create", "opnai:main") == 2
    assert 'did you mean "openai"?' in capsys.readouterr().err
    assert not (folder / "config.toml").exists()
    assert run("create", "openai:main") == 0
    before = (folder / "config.toml").read_text()
    with pytest.raises(GatewayError, match="already"):
        run("create", "echo:main")
    assert (folder / "config.toml").read_text() == before
    with pytest.raises(GatewayError, match="cannot be written"):
        run("create", "echo:main", "--config", "config.toml/x/config.toml")


def test_remove_takes_the_provider_out_and_leaves_its_keys(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("create", "echo:a", "openai:b")
    capsys.readouterr()
    assert run("remove", "b") == 0
    assert "config.toml: removed the provider b; its key files were left alone" in capsys.readouterr().out
    assert (folder / "keys/b.txt").exists()
    assert tomllib.loads((folder / "config.toml").read_text()) == {"providers": {"a": {"type": "echo"}}}
    capsys.readouterr()
    assert run("remove", "a") == 0
    said = capsys.readouterr()
    assert "removed the provider a\n" in said.out
    assert "providers: there is no provider" in said.err
    with pytest.raises(GatewayError, match="there is no provider c"):
        run("remove", "c")


def test_remove_takes_out_several_at_once_or_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("create", "echo:a", "echo:b", "echo:c", "echo:d")
    before = (folder / "config.toml").read_text()
    with pytest.raises(GatewayError, match="there is no provider nobody"):
        run("remove", "a", "nobody")
    assert (folder / "config.toml").read_text() == before
    capsys.readouterr()
    assert run("remove", "a", "c", "a") == 0
    assert tomllib.loads((folder / "config.toml").read_text())["providers"].keys() == {"b", "d"}
    removed = [line.split(";")[0].split()[-1] for line in capsys.readouterr().out.splitlines() if "removed" in line]
    assert removed == ["a", "c"]


def test_list_is_a_table_for_people_and_json_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("create", "echo:a", "openai:b")
    capsys.readouterr()
    assert run("list") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["a", "echo", "yes", "-", "-"],
        ["b", "openai", "yes", "https://api.openai.com/v1", f"{folder}/keys/b.txt"],
    ]
    assert run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["a", "b"]
    assert rows[1]["keys"] == [f"{folder}/keys/b.txt"]


MASKED = """
[server]
listen = ["unix:${file:s3cret}"]
[providers.a]
type = "openai"
base_url = "https://h.example/${file:s3cret}/v1"
models = ["shown", "${file:s3cret}"]
default_model = "${file:s3cret}"
"""


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("show",), ("check",)])
def test_what_came_out_of_a_file_is_shown_by_no_command(
    words: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.toml").write_text(MASKED)
    (folder / "s3cret").write_text("TOPSECRET\n")
    assert run(*words) == 0
    said = capsys.readouterr()
    assert "****" in said.out
    assert "TOPSECRET" not in said.out + said.err


def test_a_list_masks_item_by_item(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.toml").write_text(MASKED)
    (folder / "s3cret").write_text("TOPSECRET\n")
    run("list", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["base_url"], row["models"], row["default_model"]) == ("****", ["shown", "****"], "****")


def test_check_prints_every_problem_on_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.toml").write_text("[queue]\nmax = -1\n[sever]\n")
    assert run("check") == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "config.toml: queue.max: must be at least 0",
        'config.toml: sever: unknown setting (did you mean "server"?)',
        "config.toml: providers: there is no provider (`llmgateway config create openai:main` adds one)",
    ]


KEY_FILES: dict[str, tuple[dict[str, str | None], str, list[str]]] = {
    "good": ({"main.txt": "sk-000-1\nsk-000-2\n"}, "2 keys in 1 file", []),
    "missing": ({"main.txt": None}, "0 keys in 1 file", ["keys/main.txt: does not exist"]),
    "empty": ({"main.txt": "\n"}, "0 keys in 1 file", ["keys/main.txt: has no keys"]),
    "duplicates": (
        {"main.txt": "sk-000-1\nsk-000-1\n", "more/a.txt": "sk-000-1\nsk-000-2"},
        "2 keys in 2 files, 2 duplicates",
        [],
    ),
    "junk": (
        {"main.txt": "https://a.example\nsk-000-1\nOPENAI_API_KEY=sk-000-2\nhttps://b.example\n"},
        "1 key in 1 file",
        ["keys/main.txt: lines 1, 4: each is a URL", "keys/main.txt: line 3: is NAME=value"],
    ),
    "short": ({"main.txt": "sk-1\nsk-2\n"}, "2 keys in 1 file", ["keys/main.txt: keys shorter than 8 characters: 2; "]),
    "no text": ({"main.txt": "sk-000-1\0"}, "0 keys in 1 file", ["keys/main.txt: has NUL bytes"]),
    "an empty folder": ({"main.txt": "sk-000-1", "more/README": ""}, "1 key in 1 file", ["keys/more: has no .txt"]),
}


@pytest.mark.parametrize("kind", KEY_FILES)
def test_check_looks_into_the_key_files(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, found, warnings = KEY_FILES[kind]
    run("create", "openai:main")
    for name, text in files.items():
        path = folder / "keys" / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
            path.chmod(0o600)
    if (folder / "keys/more").exists():
        config = folder / "config.toml"
        config.write_text(config.read_text().replace('"keys/main.txt"', '["keys/main.txt", "keys/more"]'))
    capsys.readouterr()
    assert run("check") == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1] == f"providers.main: {found}"
    told = said.err.splitlines()
    assert len(told) == len(warnings)
    for line, warning in zip(told, warnings, strict=True):
        assert line.startswith(f"warning: providers.main: {folder}/{warning}")
    assert "sk-" not in said.out + said.err


def test_check_says_how_to_close_a_file_that_everybody_may_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("create", "openai:main")
    (folder / "keys/main.txt").write_text("sk-1\n")
    (folder / "keys/main.txt").chmod(0o644)
    capsys.readouterr()
    assert run("check") == 0
    assert f"run: chmod o= {folder}/keys/main.txt" in capsys.readouterr().err


PROXY_FILES: dict[str, tuple[str | None, int, str, list[str]]] = {
    "good": ("http://a:s3cret@h.test:1\nhttp://b.test:1\n", 0o600, "2 proxies in 1 file", []),
    "missing": (None, 0, "0 proxies in 1 file", ["does not exist"]),
    "empty": ("# none\n", 0o600, "0 proxies in 1 file", ["has no proxies"]),
    "open": ("http://a.test:1\n", 0o644, "1 proxy in 1 file", ["can be read by every user of this machine; run: "]),
    "junk": ("a.test:1\nhttp://a.test:1\n", 0o600, "1 proxy in 1 file", ["line 1: the proxy's URL must begin"]),
}


@pytest.mark.parametrize("kind", PROXY_FILES)
def test_check_looks_into_the_proxy_files_each_once(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, mode, found, warnings = PROXY_FILES[kind]
    path = folder / "shared.txt"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    run("create", "echo:a", "echo:b", "echo:c")
    with (folder / "config.toml").open("a") as config:
        config.write('[providers.a.proxy]\nmode = "pool"\nfile = "shared.txt"\n')
        config.write('[providers.b.proxy]\nmode = "sticky"\nfile = "shared.txt"\n')
    capsys.readouterr()
    assert run("check") == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1:] == [f"providers.a: {found}"]
    told = said.err.splitlines()
    assert len(told) == len(warnings)
    for line, warning in zip(told, warnings, strict=True):
        assert line.startswith(f"warning: providers.a: {path}: {warning}")
    assert "s3cret" not in said.out + said.err


UNLISTED = {
    '{ provider = "a", model = "gpt-51" }': 'the provider a does not list the model "gpt-51"; did you mean "gpt-5.1"?',
    '{ provider = "a" }': 'the provider a does not list the model "fast"',
    '{ provider = "a", model = "${file:model}" }': 'the provider a does not list the model "****"',
    '{ provider = "a", model = "gpt-5.1" }': "",
    '{ provider = "a", model = "mine" }': "",
    '{ provider = "a", model = "theirs" }': "",
    '{ provider = "all", model = "gpt-51" }': "",
    '{ provider = "off", model = "gpt-51" }': "",
}
"""Second targets of a route, and what is said of each."""


@pytest.mark.parametrize("target", UNLISTED)
def test_check_warns_of_a_route_to_a_model_that_its_provider_does_not_list(
    target: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("create", "echo:a", "echo:all", "echo:off")
    path = folder / "config.toml"
    text = path.read_text().replace("[providers.a]", '[providers.a]\nmodels = ["gpt-5.1", "mine=theirs"]')
    text = text.replace("[providers.off]", '[providers.off]\nmodels = ["gpt-5.1"]\nenabled = false')
    path.write_text(f'{text}[routes.fast]\ntargets = [{{ provider = "all" }}, {target}]\n')
    (folder / "model").write_text("gpt-51")
    capsys.readouterr()
    assert run("check") == 0
    said = UNLISTED[target]
    assert capsys.readouterr().err == (f"warning: routes.fast.targets[1]: {said}\n" if said else "")


def test_check_without_a_file_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check") == 3
    assert "llmgateway config create openai:main" in capsys.readouterr().err


def test_show_hides_secrets_and_tells_origins(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("create", "echo:a")
    monkeypatch.setenv("LLMGATEWAY__TOKENS__CI__TOKEN", "s3cret-token")
    capsys.readouterr()
    assert run("show", "--origins") == 0
    out = capsys.readouterr().out
    assert 'token = "****"  # LLMGATEWAY__TOKENS__CI__TOKEN' in out
    assert "s3cret" not in out
    assert tomllib.loads(out)["providers"]["a"]["type"] == "echo"
    (folder / "config.toml").write_text("[")
    with pytest.raises(ConfigError, match="not valid TOML"):
        run("show")
