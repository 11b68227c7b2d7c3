"""The gateway as a process of its own, as systemd would run it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def command(*words: str, stdin: bytes = b"", cwd: Path = ROOT, **environ: str) -> Ended:
    """`llmgateway WORDS`, to its end. Whatever it does, it shows no traceback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *words,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    assert b"Traceback" not in err, err.decode()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


class GatewayProcess:
    """A running `llmgateway serve`. `logs` has its log lines as they come."""

    def __init__(self, config: Path, environ: Mapping[str, str]) -> None:
        self.config = config
        self.environ = dict(environ)
        self.logs: list[dict[str, Any]] = []
        self.other_lines: list[str] = []
        self.process: asyncio.subprocess.Process
        self._more = asyncio.Event()
        self._reader: asyncio.Task[None]

    async def start(self, *, ready: bool = True) -> None:
        """Run it until it says that it is ready, or only begin. Raises AssertionError when it ends instead."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "serve",
            "--config",
            str(self.config),
            cwd=ROOT,
            env={**os.environ, **self.environ},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        self._reader = asyncio.create_task(self._read(), name="log reader")
        if ready:
            await self.wait_log("ready")

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT` of the first TCP listener."""
        ready = [line for line in self.logs if line["event"] == "ready"][-1]
        host = next(entry for entry in ready["listen"] if not entry.startswith("unix:"))
        return f"http://{host}"

    @property
    def admin_socket(self) -> str:
        return str([line for line in self.logs if line["event"] == "ready"][-1]["admin"])

    async def wait_log(self, event: str, count: int = 1) -> dict[str, Any]:
        """The count-th log line with this event, when it is there."""
        while True:
            found = [line for line in self.logs if line["event"] == event]
            if len(found) >= count:
                return found[count - 1]
            if self._reader.done():
                raise AssertionError(f"the gateway ended before {event!r}: {self.logs[-5:]} {self.other_lines}")
            self._more.clear()
            waiting = asyncio.create_task(self._more.wait(), name="more logs")
            await asyncio.wait({waiting, self._reader}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()

    async def command(self, *words: str, stdin: bytes = b"") -> Ended:
        """A command of the command line that talks to this gateway."""
        return await command(*words, stdin=stdin, LLMGATEWAY_SOCKET=self.admin_socket)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self) -> int:
        """Its exit code, once it has ended and every line was read."""
        code = await self.process.wait()
        await self._reader
        return code

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.signal(signal.SIGTERM)
        return await self.wait()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            try:
                self.logs.append(json.loads(line))
            except ValueError:
                self.other_lines.append(line.decode())
            self._more.set()


@asynccontextmanager
async def gateway(folder: Path, config: str, **environ: str) -> AsyncIterator[GatewayProcess]:
    """A gateway with this configuration, its files in `folder`. Ends with SIGTERM and must then exit 0."""
    folder.mkdir(exist_ok=True)
    path = folder / "config.toml"
    path.write_text(config)
    running = GatewayProcess(path, environ)
    await running.start()
    try:
        yield running
    finally:
        if running.process.returncode is None:
            code = await running.stop()
            assert code == 0, (code, running.logs[-3:], running.other_lines)


def write_keys(folder: Path, keys: list[str], name: str = "main.txt") -> Path:
    """A key file beside the configuration, unreadable to others. A gateway that looks meanwhile sees no part of it."""
    path = folder / "keys" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    made = folder / f"{name}.new"
    made.write_text("\n".join(keys) + "\n")
    made.chmod(0o600)
    return made.replace(path)


def one_provider(base_url: str, *, server: str = "", provider: str = "", more: str = "", probe: str = "none") -> str:
    """A configuration with one provider called main and a free port. `probe`: the kind of its probes."""
    return f"""
[server]
listen = ["127.0.0.1:0"]
{server}
[providers.main]
type = "openai"
base_url = "{base_url}"
keys = "keys/main.txt"
models = ["gpt-4o-mini", "text-embedding-3-small", "whisper-1", "omni-moderation-latest", "tts-1", "gpt-image-1"]
probe.kind = "{probe}"
{provider}
{more}
"""
