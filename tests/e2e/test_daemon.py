"""The daemon's life as a service manager and an operator see it: start, reload, stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.conftest import run
from tests.e2e.load import Caller
from tests.e2e.process import GatewayProcess, command, gateway, one_provider, write_keys
from tests.fakes.behaviours import Hang, Held, Stream
from tests.fakes.manager import notifications
from tests.fakes.provider import FakeProvider
from tests.ports import free_port

KEYS = [f"sk-good-{n:016}" for n in range(5)]


async def ask(address: str, token: str = "anything") -> int:
    """The status of one chat request on a connection of its own."""
    caller = Caller(address, token)
    try:
        return (await caller.chat()).status
    finally:
        caller.close()


async def refused(address: str) -> bool:
    try:
        await ask(address)
    except OSError:
        return True
    return False


def test_the_service_manager_hears_of_every_step(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            with notifications(tmp_path) as told:
                async with gateway(tmp_path, one_provider(fake.base_url), NOTIFY_SOCKET=str(told.path)) as running:
                    assert await told.next() == "READY=1"
                    assert await ask(running.address) == 200
                    for _ in range(2):
                        running.signal(signal.SIGHUP)
                        first, second = (await told.next()).split("\n")
                        assert first == "RELOADING=1"
                        assert second.removeprefix("MONOTONIC_USEC=").isdigit()
                        assert await told.next() == "READY=1"
                    running.config.write_text("broken")
                    running.signal(signal.SIGHUP)
                    assert (await told.next()).startswith("RELOADING=1\n")
                    assert await told.next() == "READY=1"
                    await running.stop()
                    assert await told.next() == "STOPPING=1"
                    assert told.nothing()

    run(scenario(), 60)


def test_the_watchdog_is_fed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            with notifications(tmp_path) as told:
                environ = {"NOTIFY_SOCKET": str(told.path), "WATCHDOG_USEC": "300000"}
                async with gateway(tmp_path, one_provider(fake.base_url), **environ):
                    assert await told.next() == "READY=1"
                    assert [await told.next() for _ in range(3)] == ["WATCHDOG=1"] * 3

    run(scenario(), 60)


@contextmanager
def held_database(folder: Path) -> Iterator[None]:
    """Somebody holds the database, so that a start takes until they let go."""
    (folder / "state").mkdir(exist_ok=True)
    holding = sqlite3.connect(folder / "state" / "llmgateway.db", isolation_level=None)
    try:
        holding.execute("BEGIN EXCLUSIVE")
        holding.execute("CREATE TABLE IF NOT EXISTS mine (x)")
        yield
        holding.execute("ROLLBACK")
    finally:
        holding.close()


async def starting(folder: Path, config: str, **environ: str) -> GatewayProcess:
    """A gateway that has come as far as its admin socket."""
    path = folder / "config.toml"
    path.write_text(config)
    running = GatewayProcess(path, environ)
    await running.start(ready=False)
    admin = folder / "state" / "admin.sock"
    while not admin.is_socket() or await refused(f"unix:{admin}"):
        await asyncio.sleep(0.01)
    return running


def test_while_it_starts_the_admin_socket_says_so_and_the_port_is_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            address = f"http://127.0.0.1:{free_port()}"
            config = one_provider(fake.base_url).replace("127.0.0.1:0", address.removeprefix("http://"))
            with notifications(tmp_path) as told:
                with held_database(tmp_path):
                    running = await starting(tmp_path, config, NOTIFY_SOCKET=str(told.path))
                    socket_path = str(tmp_path / "state" / "admin.sock")
                    ended = await command("status", "--socket", socket_path)
                    assert (ended.code, ended.err) == (1, "error: The gateway is still starting.\n")
                    running.signal(signal.SIGHUP)  # is remembered
                    assert await refused(address)
                    assert told.nothing()
                assert await told.next() == "READY=1"
                assert await ask(address) == 200
                await running.wait_log("reloaded")
                assert await running.stop() == 0

    run(scenario(), 60)


def test_sigterm_ends_a_start_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_keys(tmp_path, KEYS)
        with held_database(tmp_path):
            running = await starting(tmp_path, one_provider("http://127.0.0.1:9"))
            assert await running.stop() == 0
        assert not (tmp_path / "state" / "admin.sock").exists()
        assert running.other_lines == []

    run(scenario(), 60)


def test_a_second_daemon_on_the_same_state_folder_is_refused_before_it_touches_anything(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                before = await running.command("status", "--json")
                second = tmp_path / "second.toml"
                write_keys(tmp_path, ["sk-other"], "other.txt")
                second.write_text(one_provider(fake.base_url).replace("main.txt", "other.txt"))
                ended = await command("serve", "--config", str(second))
                assert ended.code == 4
                assert "a gateway runs here already: another process answers at" in ended.err
                assert "admin.sock" in ended.err
                assert "STATE_DIRECTORY" in ended.err and "server.listen" not in ended.err
                with sqlite3.connect(tmp_path / "state" / "llmgateway.db") as database:
                    (count,) = database.execute("SELECT COUNT(*) FROM keys WHERE removed_at IS NULL").fetchone()
                database.close()
                assert count == len(KEYS)
                after = await running.command("status", "--json")
                assert after.json["pid"] == before.json["pid"]

    run(scenario(), 60)


def test_a_second_daemon_on_the_same_database_is_refused_whatever_its_state_folder(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_keys(tmp_path, KEYS)
        config = one_provider("http://127.0.0.1:9", more=f"[store]\nurl = 'sqlite:{tmp_path / 'one.db'}'\n")
        async with gateway(tmp_path, config) as running:
            ended = await command("serve", "--config", str(running.config), STATE_DIRECTORY=str(tmp_path / "other"))
            assert ended.code == 4
            assert f"another gateway uses the database: {tmp_path / 'one.db'}" in ended.err
            assert "store.url" in ended.err
            assert (await command("maintenance", "checkpoint", "--config", str(running.config))).code == 0
        async with gateway(tmp_path, config):
            pass  # the first has given it up

    run(scenario(), 60)


def test_a_port_that_is_taken_is_4_and_leaves_no_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_keys(tmp_path, KEYS)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            config = tmp_path / "config.toml"
            config.write_text(one_provider("http://127.0.0.1:9").replace("127.0.0.1:0", f"127.0.0.1:{port}"))
            ended = await command("serve", "--config", str(config))
        assert ended.code == 4
        assert f"cannot listen on 127.0.0.1:{port}" in ended.err
        assert "another process listens there" in ended.err
        assert not (tmp_path / "state" / "admin.sock").exists()

    run(scenario(), 60)


def test_what_a_killed_daemon_left_is_no_obstacle(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            for _ in range(2):
                async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                    assert await ask(running.address) == 200
                    running.signal(signal.SIGKILL)
                    await running.wait()
            assert (tmp_path / "state" / "admin.sock").is_socket()

    run(scenario(), 60)


def test_a_clean_end_leaves_only_the_database_and_its_lock(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                assert await ask(running.address) == 200
            left = {path.name for path in (tmp_path / "state").iterdir()}
            assert left == {"llmgateway.db", "llmgateway.db.lock"}

    run(scenario(), 60)


# -- reloads ---------------------------------------------------------------------------------------------------


def test_a_reload_opens_new_listeners_and_closes_old_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            config = one_provider(fake.base_url)
            async with gateway(tmp_path, config) as running:
                tcp, unix = running.address, f"unix:{tmp_path}/api.sock"
                kept = Caller(tcp)
                assert (await kept.chat()).status == 200
                running.config.write_text(config.replace('["127.0.0.1:0"]', f'["127.0.0.1:0", "{unix}"]'))
                ended = await running.command("reload")
                assert (ended.code, ended.out) == (0, "reloaded; changed: server\n")
                assert await ask(unix) == await ask(tcp) == 200
                running.config.write_text(config.replace('["127.0.0.1:0"]', f'["{unix}"]'))
                assert (await running.command("reload", "--json")).json == {"changed": ["server"], "switched": {}}
                assert await refused(tcp)
                assert await ask(unix) == 200
                assert await kept.rest() == b""  # an idle connection ends with its listener
                kept.close()
                assert (await running.command("reload")).out == "reloaded; nothing changed\n"
            assert not (tmp_path / "api.sock").exists()

    run(scenario(), 60)


def test_a_reload_that_fails_half_way_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            config = one_provider(fake.base_url)
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                new = f'["unix:{tmp_path}/api.sock", "127.0.0.1:{taken.getsockname()[1]}"]'
                async with gateway(tmp_path, config) as running:
                    running.config.write_text(config.replace('["127.0.0.1:0"]', new))
                    ended = await running.command("reload")
                    assert ended.code == 1
                    assert "another process listens there" in ended.err or "cannot listen on" in ended.err
                    assert "the old configuration stays" in ended.err
                    assert not (tmp_path / "api.sock").exists()
                    assert await ask(running.address) == 200

    run(scenario(), 60)


def test_tls_cannot_be_switched_on_by_a_reload_and_leaves_no_listener(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            config = one_provider(fake.base_url)
            async with gateway(tmp_path, config) as running:
                trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.pem")
                tls = '[server.tls]\ncert = "tls.pem"\nkey = "tls.pem"\n[providers.main]'
                changed = config.replace('["127.0.0.1:0"]', f'["127.0.0.1:0", "unix:{tmp_path}/api.sock"]')
                running.config.write_text(changed.replace("[providers.main]", tls))
                ended = await running.command("reload")
                assert ended.code == 1
                assert "restart instead" in ended.err
                assert not (tmp_path / "api.sock").exists()
                assert await ask(running.address) == 200

    run(scenario(), 60)


def test_a_provider_that_was_removed_finishes_what_it_began(tmp_path: Path) -> None:
    second = '[providers.second]\ntype = "openai"\nbase_url = "{url}"\nkeys = "keys/second.txt"\nmodels = ["other"]\n'

    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            write_keys(tmp_path, ["sk-second-00000000000001"], "second.txt")
            fake.script("sk-second-00000000000001", Held(Stream()))
            config = one_provider(fake.base_url)
            async with gateway(tmp_path, config + second.format(url=fake.base_url)) as running:
                caller = Caller(running.address)
                slow = asyncio.create_task(caller.chat(model="other", stream=True))
                while not fake.requests:
                    await asyncio.sleep(0)
                running.config.write_text(config)
                assert (await running.command("reload")).out == "reloaded; changed: providers.second\n"
                fake.let_go()
                answer = await slow
                assert answer.status == 200
                assert answer.body.endswith(b"data: [DONE]\n\n")
                assert (await caller.chat(model="other")).status == 404
                caller.close()
                status = (await running.command("status", "--json")).json
                assert [provider["name"] for provider in status["providers"]] == ["main"]
                running.config.write_text(config + second.format(url=fake.base_url))
                assert (await running.command("reload")).code == 0
                fake.script("sk-second-00000000000001")
                caller = Caller(running.address)
                assert (await caller.chat(model="other")).status == 200
                caller.close()

    run(scenario(), 60)


def test_a_reload_takes_other_tokens_and_drops_old_ones(tmp_path: Path) -> None:
    tokens = '[auth]\nrequired = "true"\n[tokens.{name}]\ntoken = "{token}"\n'

    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            config = one_provider(fake.base_url)
            old, new = "old-token-0123456789abcdef", "new-token-0123456789abcdef"
            async with gateway(tmp_path, config + tokens.format(name="a", token=old)) as running:
                assert await ask(running.address, token=old) == 200
                assert await ask(running.address, token=new) == 401
                running.config.write_text(config + tokens.format(name="b", token=new))
                assert (await running.command("reload")).out == "reloaded; changed: tokens.a, tokens.b\n"
                assert await ask(running.address, token=old) == 401
                assert await ask(running.address, token=new) == 200

    run(scenario(), 60)


def test_a_broken_configuration_keeps_the_old_one_and_names_every_problem(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            config = one_provider(fake.base_url)
            async with gateway(tmp_path, config) as running:
                running.config.write_text(config.replace("[server]", "[server]\nlissten = 1\nidle_timeout = -1"))
                ended = await running.command("reload")
                assert ended.code == 1
                lines = ended.err.splitlines()
                assert lines[0] == "error: The configuration has problems; the old one stays."
                assert len(lines) == 3
                assert "server.lissten" in ended.err and "server.idle_timeout" in ended.err
                assert await ask(running.address) == 200

    run(scenario(), 60)


def test_another_database_needs_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            config = one_provider(fake.base_url)
            async with gateway(tmp_path, config) as running:
                running.config.write_text(config + '[store]\nurl = "sqlite:other.db"\n')
                ended = await running.command("reload")
                assert ended.code == 1
                assert "store.url: cannot change while running (restart instead)" in ended.err
                assert await ask(running.address) == 200

    run(scenario(), 60)


def test_a_provider_may_change_from_keys_to_none_and_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_keys(tmp_path, KEYS)
        with_keys = '[server]\nlisten = ["127.0.0.1:0"]\n[providers.main]\ntype = "echo"\nmodels = ["gpt-4o-mini"]\n'
        with_keys += 'keys = "keys/main.txt"\n'
        without = with_keys.replace('keys = "keys/main.txt"\n', "")
        async with gateway(tmp_path, without) as running:
            for config, count in ((with_keys, len(KEYS)), (without, 1), (with_keys, len(KEYS))):
                running.config.write_text(config)
                assert (await running.command("reload")).code == 0
                status = (await running.command("status", "--json")).json
                assert status["providers"][0]["keys"] == count
                assert await ask(running.address) == 200

    run(scenario(), 60)


# -- the end, and other kinds of listeners -----------------------------------------------------------------------


def test_a_drain_that_takes_too_long_cuts_and_still_exits_0(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            for key in KEYS:
                fake.script(key, Hang())
            async with gateway(tmp_path, one_provider(fake.base_url, server="drain_timeout = 0.3")) as running:
                hanging = asyncio.create_task(ask(running.address))
                while not fake.requests:
                    await asyncio.sleep(0)
                assert await running.stop() == 0
                stopped = await running.wait_log("stopped")
                assert (stopped["cut"], stopped["saved"]) == (1, True)
                await asyncio.wait([hanging])
                assert isinstance(hanging.exception(), ConnectionResetError), "there was no answer, not even an error"

    run(scenario(), 60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_drain_at_once_and_still_exits_0(tmp_path: Path, number: signal.Signals) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            for key in KEYS:
                fake.script(key, Hang())
            async with gateway(tmp_path, one_provider(fake.base_url, server="drain_timeout = 3600")) as running:
                hanging = asyncio.create_task(ask(running.address))
                while not fake.requests:
                    await asyncio.sleep(0)
                running.signal(signal.SIGTERM)
                await running.wait_log("draining")
                running.signal(number)
                assert await running.wait() == 0
                stopped = await running.wait_log("stopped")
                assert (stopped["cut"], stopped["saved"]) == (1, True)
                await asyncio.wait([hanging])
                assert hanging.exception() is not None

    run(scenario(), 60)


def test_health_stays_and_readiness_goes_while_it_drains(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            for key in KEYS:
                fake.script(key, Held())
            async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                slow = asyncio.create_task(ask(running.address))
                while not fake.requests:
                    await asyncio.sleep(0)
                running.signal(signal.SIGTERM)
                await running.wait_log("draining")
                for path, status in (("/health", 200), ("/ready", 503), ("/metrics", 200), ("/v1/models", 503)):
                    caller = Caller(running.address)
                    answer = await caller.request("GET", path)
                    caller.close()
                    assert (path, answer.status) == (path, status)
                    if path == "/ready":
                        assert answer.json == {"status": "unavailable", "missing": ["draining"]}
                fake.let_go()
                assert await slow == 200
                assert await running.wait() == 0

    run(scenario(), 60)


def test_status_answers_while_it_drains(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            for key in KEYS:
                fake.script(key, Held())
            async with gateway(tmp_path, one_provider(fake.base_url)) as running:
                slow = asyncio.create_task(ask(running.address))
                while not fake.requests:
                    await asyncio.sleep(0)
                running.signal(signal.SIGTERM)
                await running.wait_log("draining")
                assert (await running.command("status")).code == 0
                ended = await running.command("reload")
                assert ended.code == 1
                assert "the gateway is stopping" in ended.err
                fake.let_go()
                assert await slow == 200
                assert await running.wait() == 0

    run(scenario(), 60)


def test_clients_come_by_unix_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            config = one_provider(fake.base_url).replace("127.0.0.1:0", "unix:api.sock")
            async with gateway(tmp_path, config) as running:
                assert (await running.wait_log("ready"))["listen"] == [f"unix:{tmp_path}/api.sock"]
                assert await ask(f"unix:{tmp_path}/api.sock") == 200

    run(scenario(), 60)


def test_clients_come_by_tls_and_a_reload_takes_a_renewed_certificate(tmp_path: Path) -> None:
    ca = trustme.CA()
    trusting = ssl.create_default_context()
    ca.configure_trust(trusting)

    def issue() -> bytes:
        issued = ca.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.pem")
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    async def presented(address: str) -> bytes:
        host, _, port = address.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=trusting)
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        assert isinstance(found, bytes)
        return found

    async def scenario() -> None:
        async with FakeProvider() as fake:
            write_keys(tmp_path, KEYS)
            first = issue()
            config = one_provider(fake.base_url, more='[server.tls]\ncert = "tls.pem"\nkey = "tls.pem"\n')
            async with gateway(tmp_path, config) as running:
                caller = Caller(running.address, tls=trusting)
                assert (await caller.chat()).status == 200
                assert await presented(running.address) == first
                second = issue()
                assert (await running.command("reload")).code == 0
                assert await presented(running.address) == second
                assert (await caller.chat()).status == 200
                caller.close()

    run(scenario(), 60)
