"""`config check --connect` against listeners on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.place import run
from tests.ports import free_port


@contextmanager
def listener() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def provider(name: str, port: int, more: str = "") -> str:
    return f'[providers.{name}]\ntype = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\nkeys = "keys.txt"\n{more}\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    keys = tmp_path / "keys.txt"
    keys.write_text("sk-test-0000000000000001\n")
    keys.chmod(0o600)
    return tmp_path / "config.toml"


def check(config: Path, text: str) -> int:
    config.write_text(text)
    return run("config", "check", "--connect", "--config", str(config))


def test_a_provider_that_can_be_reached_is_said_to_be(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listener() as port:
        switched_off = provider("off", free_port(), "enabled = false")
        assert check(place, provider("main", port) + switched_off + '[providers.demo]\ntype = "echo"') == 0
    told = capsys.readouterr()
    assert f"providers.main: http://127.0.0.1:{port} reached in " in told.out
    assert "demo" not in told.out.partition("\n")[2] and told.err == ""


def test_one_that_cannot_is_named_with_the_reason_and_the_exit_code_is_1(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with listener() as open_port:
        assert check(place, provider("main", open_port) + provider("other", port)) == 1
    told = capsys.readouterr()
    assert f"providers.main: http://127.0.0.1:{open_port} reached in " in told.out
    assert f"providers.other: http://127.0.0.1:{port} cannot be reached\n" in told.err
    assert f"providers.other: http://127.0.0.1:{port} refuses connections\n" in told.err


def test_every_proxy_is_tried_and_passwords_stay_hidden(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = place.parent / "proxies.txt"
    file.write_text("".join(f"http://user:secret-{n}@127.0.0.1:{free_port()}\n" for n in range(7)))
    file.chmod(0o600)
    with listener() as port:
        through = f'proxy = {{ mode = "pool", file = "{file}" }}'
        assert check(place, provider("main", port, through)) == 1
    told = capsys.readouterr()
    assert f"providers.main: http://127.0.0.1:{port} cannot be reached through 0 of 7 proxies\n" in told.err
    assert told.err.count("refuses connections") == 5 and "and 2 more" in told.err
    assert "secret" not in told.err + told.out


@pytest.mark.parametrize(("text", "why"), [(None, "does not exist"), ("# none\n", "has no proxies")])
def test_a_provider_without_a_proxy_is_said_to_have_none(
    text: str | None, why: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place.parent / "proxies.txt"
    if text is not None:
        file.write_text(text)
        file.chmod(0o600)
    assert check(place, provider("main", 1, f'proxy = {{ mode = "pool", file = "{file}" }}')) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"warning: providers.main: {file}: {why}",
        f"providers.main: http://127.0.0.1:1 cannot be reached: there is no usable proxy in {file}",
    ]


def test_without_the_option_nobody_is_asked(place: Path) -> None:
    place.write_text(provider("main", free_port()))
    assert run("config", "check", "--config", str(place)) == 0
