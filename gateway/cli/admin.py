"""Talking to the daemon over its admin socket."""

from __future__ import annotations

import argparse
import http.client
import os
import socket
from pathlib import Path
from typing import Any

from gateway import jsonlib
from gateway.cli.serve import demo_folder
from gateway.errors import GatewayError

SECONDS = 120.0
"""How long a command waits for the daemon: a reload with a hundred thousand keys takes some seconds."""


class DaemonError(GatewayError):
    """The daemon refused, or is not there."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def add_socket_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", metavar="PATH", help="the daemon's admin socket")


def find_socket(explicit: str | None) -> str:
    """The first that exists of: --socket, $LLMGATEWAY_SOCKET, the runtime folders, the state folder, the demo's."""
    if explicit:
        return explicit
    if os.environ.get("LLMGATEWAY_SOCKET"):
        return os.environ["LLMGATEWAY_SOCKET"]
    places = []
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        if os.environ.get(name):
            places.append(Path(os.environ[name].split(":")[0]))
    places.insert(1 if "RUNTIME_DIRECTORY" in os.environ else 0, Path("/run/llmgateway"))
    places += [_state_folder(), demo_folder()]
    for place in places:
        path = place / "admin.sock"
        if path.is_socket():
            return str(path)
    raise DaemonError(
        "no running gateway was found",
        hint="start one with 'llmgateway serve', or name its admin socket with --socket",
    )


def _state_folder() -> Path:
    from gateway.config.load import find_config
    from gateway.errors import ConfigError

    try:
        return find_config(None, os.environ).parent.resolve() / "state"
    except ConfigError:
        return Path("state")


def call(args: argparse.Namespace, method: str, path: str, body: object = None) -> Any:
    """The daemon's JSON answer. Raises DaemonError."""
    place = find_socket(args.socket)
    connection = _UnixConnection(place)
    try:
        payload = jsonlib.dumps(body) if body is not None else None
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
    except PermissionError:
        raise DaemonError(
            f"no permission for {place}", hint="run the command as the gateway's user, or as root"
        ) from None
    except (OSError, http.client.HTTPException) as exc:
        raise DaemonError(f"the gateway does not answer at {place}", detail=str(exc)) from None
    finally:
        connection.close()
    try:
        decoded = jsonlib.loads(data)
    except ValueError:
        raise DaemonError(f"the gateway answered {answer.status} without JSON") from None
    if answer.status >= 400:
        error = decoded.get("error", {})
        raise DaemonError(error.get("message", f"status {answer.status}"), detail="; ".join(error.get("problems", [])))
    return decoded
