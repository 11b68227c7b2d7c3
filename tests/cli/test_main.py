"""What a command that goes wrong says, and its exit code."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from gateway.store.migrations import LATEST
from tests.cli.place import CONFIG, empty_place, run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_place(tmp_path, monkeypatch)


USAGE = [
    (),
    ("dance",),
    ("--dance",),
    ("serve", "--port", "1"),
    ("serve", "--config"),
    ("config",),
    ("config", "dance"),
    ("config", "create"),
    ("config", "create", "nosuchtype:main"),
    ("config", "create", "openai"),
    ("config", "remove"),
    ("keys",),
    ("keys", "dance"),
    ("keys", "disable"),
    ("keys", "add"),
    ("keys", "list", "--limit", "-1"),
    ("keys", "list", "--limit", "0"),
    ("keys", "list", "--limit", "many"),
    ("status", "--dance"),
    ("reload", "now"),
    ("help", "dancing"),
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_usage_is_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err
    assert "Traceback" not in said.err


ERRORS = [
    (("status",), "no gateway runs at"),
    (("status", "--json"), "no gateway runs at"),
    (("status", "--socket", "config.toml"), "no gateway runs at config.toml"),
    (("status", "--socket", "x" * 200), "the gateway does not answer at xxx"),
    (("reload",), "no gateway runs at"),
    (("keys", "list"), "no gateway runs at"),
    (("keys", "disable", "*"), "no gateway runs at"),
    (("keys", "add", "nobody", "sk-1"), "there is no provider 'nobody'"),
    (("keys", "add", "local", "sk-1"), "the provider 'local' needs no keys"),
    (("keys", "remove", "local", "sk-1"), "the provider 'local' needs no keys"),
    (("keys", "add", "main", ""), "key 1 of 1 given is empty"),
    (("keys", "add", "main", "sk-1", " # no"), "key 2 of 2 given is empty or a comment"),
    (("keys", "remove", "main", " "), "key 1 of 1 given is empty"),
    (("keys", "add", "main", "sk-ä"), "key 1 of 1 given has a character that is not ASCII in its key"),
    (("keys", "add", "main", "sk-1 color=red"), "has an unknown label"),
    (("keys", "remove", "main", "sk-1"), "none of these keys is in the provider's files"),
]


@pytest.mark.parametrize(("words", "text"), ERRORS)
def test_an_error_is_1_with_words(words: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert text in said.err
    assert said.out == ""
    assert "Traceback" not in said.err


BAD_CONFIGURATIONS = {
    "not TOML": "[server",
    "unknown setting": "[server]\nlissten = 1\n",
    "wrong type": "[server]\nlisten = 3\n",
    "bad address": '[server]\nlisten = ["nowhere"]\n',
    "public without auth": '[server]\nlisten = ["0.0.0.0:0"]\n[auth]\nrequired = false\n',
    "no such certificate": '[server]\nlisten = ["127.0.0.1:0"]\n[server.tls]\ncert = "no.pem"\nkey = "no.pem"\n',
    "unset variable": '[store]\nurl = "${NO_SUCH_VARIABLE}"\n',
}


@pytest.mark.parametrize("text", BAD_CONFIGURATIONS.values(), ids=BAD_CONFIGURATIONS)
def test_a_configuration_that_cannot_be_used_is_3(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config.toml").write_text(text + '\n[providers.main]\ntype = "echo"\n')
    if text != BAD_CONFIGURATIONS["public without auth"]:
        assert run("keys", "add", "main", "sk-1") in (1, 3)  # a certificate is looked at when it is used
    monkeypatch.delenv("LLMGATEWAY_SOCKET")
    assert run("serve") == 3
    assert "error: " in capsys.readouterr().err


def test_serve_without_a_configuration_says_how_to_begin(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.toml").unlink()
    assert run("serve") == 3
    said = capsys.readouterr().err
    assert "no configuration" in said
    assert "llmgateway config create openai:main" in said
    assert "llmgateway serve --demo" in said
    assert run("serve", "--config", "no.toml") == 3
    assert "no.toml: there is no such file" in capsys.readouterr().err


def corrupt(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def too_new(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE schema_version (version BIGINT PRIMARY KEY)")
        database.execute("INSERT INTO schema_version VALUES (?)", (LATEST + 1,))
    database.close()


def folder_in_its_place(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        (corrupt, 3, "nothing was overwritten"),
        (too_new, 3, "the database was written by a newer version"),
        (folder_in_its_place, 4, "the database cannot be used for now"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_by_its_code(
    make: object,
    code: int,
    text: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LLMGATEWAY_SOCKET")
    (folder / "config.toml").write_text('[server]\nlisten = ["127.0.0.1:0"]\n[providers.main]\ntype = "echo"\n')
    (folder / "state").mkdir()
    assert callable(make)
    make(folder / "state" / "llmgateway.db")
    assert run("serve") == code
    said = capsys.readouterr().err
    assert text in said
    assert "Traceback" not in said
    assert [path.name for path in (folder / "state").iterdir() if path.name.endswith(".sock")] == []


@pytest.mark.parametrize("where", ["/proc/nowhere/state", "file/state"])
def test_a_state_folder_that_cannot_be_written_is_4(
    where: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", where)
    assert run("serve") == 4  # the admin socket's folder
    monkeypatch.setenv("LLMGATEWAY_SOCKET", str(folder / "admin.sock"))
    assert run("serve") == 4  # the database's
    assert "Traceback" not in capsys.readouterr().err


def test_a_socket_path_that_is_too_long_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["LLMGATEWAY_SOCKET"] = "x" * 200  # empty_place() takes it back
    assert run("serve") == 4
    assert "the path of the admin socket is too long" in capsys.readouterr().err


def command(
    *words: str, folder: Path, stdout: int | None = subprocess.PIPE, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "LLMGATEWAY_SOCKET": str(folder / "no.sock"), **environ}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        check=False,
        cwd=folder,
        env=environ,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=30,
    )


def test_a_reader_that_leaves_and_a_full_disk_are_no_tracebacks(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = command("help", "quickstart", folder=folder, stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")
    with open("/dev/full", "wb") as full:
        ended = command("help", "quickstart", folder=folder, stdout=full.fileno())
    assert (ended.returncode, ended.stderr) == (1, b"error: No space left on device\n")


def test_what_is_said_while_nobody_reads_is_said_whole_after_a_stop(folder: Path) -> None:
    """Stopped and continued (Ctrl-Z and `fg`) within a write, the rest of that write is left to the program."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "gateway", "help", "config"]
    with open(reading, "rb") as pipe, subprocess.Popen(words, cwd=folder, env=environ, stdout=writing) as process:
        os.close(writing)
        while int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder) < 4096:
            assert process.poll() is None
        process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            pass
        process.send_signal(signal.SIGCONT)
        assert pipe.read() == command("help", "config", folder=folder).stdout


def test_a_terminal_that_cannot_show_everything_gets_the_rest(folder: Path) -> None:
    (folder / "config.toml").write_text(CONFIG.replace("providers.main", 'providers."mäin"'))
    ended = command("config", "show", folder=folder, PYTHONIOENCODING="ascii")
    assert ended.returncode in (0, 3)
    assert b"Traceback" not in ended.stderr
    assert b"m\\xe4in" in ended.stdout + ended.stderr


def test_arguments_that_are_no_text_are_no_tracebacks(folder: Path) -> None:
    for words in (
        ("keys", "list", "\udcff"),
        ("keys", "add", "main", "\udcff"),
        ("config", "check", "--config", "\udcff"),
    ):
        ended = command(*words, folder=folder)
        assert ended.returncode in (1, 2, 3)
        assert b"Traceback" not in ended.stderr


def test_commands_about_files_do_not_load_what_they_do_not_need(folder: Path) -> None:
    program = (
        "import sys; from gateway.cli import build_parser; build_parser();"
        "heavy = {'http.client', 'ssl', 'asyncio', 'sqlite3', 'tempfile', 'email', 'socket'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT, capture_output=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (0, b"")
