"""Talking to the daemon over its admin socket."""

from __future__ import annotations

import argparse
import os
import stat
from pathlib import Path
from typing import Any

from gateway import jsonlib
from gateway.errors import GatewayError

SECONDS = 120.0
"""How long a command waits for the daemon: a reload with a hundred thousand keys takes some seconds."""


class DaemonError(GatewayError):
    """The daemon refused, or is not there.

    `code` is what it called its refusal, empty if none was heard; `problems` what it said in particular, a line each.
    """

    def __init__(
        self, message: str, *, detail: str = "", hint: str = "", code: str = "", problems: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.code = code
        self.problems = problems


class NoDaemon(DaemonError):
    """There is none, or none that runs with the configuration that was meant."""


def add_socket_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", metavar="PATH", help="the daemon's admin socket")


def find_sockets(explicit: str | None, config: str | None = None, *, demo: bool = True) -> list[str]:
    """Where daemons may be: --socket, $LLMGATEWAY_SOCKET, or those that there are of the usual places.

    `config` is what --config said; `demo`: the demo's place counts, too, unless there is a configuration, whose gateway
    is meant then. Raises DaemonError if there is none.
    """
    named = explicit or os.environ.get("LLMGATEWAY_SOCKET")
    if named:
        return [named]
    found, closed = [], ""
    for path in _places(config, demo):
        try:
            if stat.S_ISSOCK(path.stat().st_mode):
                found.append(str(path))
        except PermissionError:
            closed = closed or str(path)
        except (OSError, ValueError):
            pass
    if found:
        return found
    if closed:
        raise _no_permission(closed)
    raise NoDaemon(
        "no running gateway was found",
        hint="start one with 'llmgateway serve', or name its admin socket with --socket",
    )


def _places(config: str | None, demo: bool) -> list[Path]:
    """The runtime folder, the system's one, the state folder; and the demo's last, which is nobody's choice."""
    from gateway.config.load import config_if_any

    own = config_if_any(config, os.environ)
    folders = [Path("/run/llmgateway"), _state_folder(own)]
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if runtime:
        folders.insert(0, Path(runtime))
    if demo and own is None:
        from gateway.cli.demo import demo_folder

        folders.append(demo_folder())
    return [folder / "admin.sock" for folder in folders]


def _state_folder(configuration: Path | None) -> Path:
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        return Path(state)
    return Path("state") if configuration is None else configuration.absolute().parent / "state"


def call(args: argparse.Namespace, method: str, path: str, body: object = None) -> Any:
    """The daemon's JSON object. Raises DaemonError."""
    return _ask(find_sockets(args.socket)[0], method, path, body)


def call_for(config: Path, args: argparse.Namespace, path: str, seconds: float = SECONDS) -> Any:
    """What the daemon that runs with this configuration file answers to a POST. No other one is made to do anything.

    Raises DaemonError when it refuses, or is not found.
    """
    failure: DaemonError | None = None
    for place in find_sockets(args.socket, args.config, demo=False):
        try:
            return _ask(place, "POST", path, {"config": os.path.realpath(config)}, seconds)
        except DaemonError as error:
            if error.code == "other_config":
                failure = NoDaemon("no gateway that runs uses this configuration", detail=str(config))
            elif error.code:
                raise
            else:
                failure = failure or error
    assert failure is not None
    raise failure


def call_for_lines(args: argparse.Namespace, path: str, body: object) -> list[Any]:
    """What the daemon answers to a POST in lines, a JSON object each. Raises DaemonError."""
    place = find_sockets(args.socket)[0]
    status, data = _exchange(place, "POST", path, jsonlib.dumps(body))
    if status >= 400:
        _read_answer(place, status, data)
    return [jsonlib.loads(line) for line in data.splitlines()]


def _ask(place: str, method: str, path: str, body: object, seconds: float = SECONDS) -> Any:
    status, data = _exchange(place, method, path, None if body is None else jsonlib.dumps(body), seconds)
    return _read_answer(place, status, data)


def _read_answer(place: str, status: int, data: bytes) -> Any:
    """The JSON object of an answer. Raises DaemonError for a refusal."""
    try:
        answer = jsonlib.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise DaemonError(f"what answers at {place} is no gateway", detail=f"status {status} without a JSON object")
    if status >= 400:
        error = answer.get("error")
        error = error if isinstance(error, dict) else {}
        problems = error.get("problems")
        raise DaemonError(
            str(error.get("message") or f"the gateway answered with status {status}"),
            code=str(error.get("code") or status),
            problems=tuple(map(str, problems)) if isinstance(problems, list) else (),
        )
    return answer


def _exchange(place: str, method: str, path: str, payload: bytes | None, seconds: float = SECONDS) -> tuple[int, bytes]:
    """Status and body."""
    import http.client
    import socket

    connection = http.client.HTTPConnection("localhost", timeout=seconds)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(seconds)
        connection.sock.connect(place)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except PermissionError:
        raise _no_permission(place) from None
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoDaemon(
            f"no gateway runs at {place}", detail=error.strerror or "", hint="start it with 'llmgateway serve'"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise DaemonError(f"the gateway does not answer at {place}", detail=str(error) or repr(error)) from None
    finally:
        connection.close()


def _no_permission(place: str) -> DaemonError:
    return DaemonError(f"no permission for {place}", hint="run the command as the gateway's user, or as root")
