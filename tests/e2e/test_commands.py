"""The command line against a gateway that runs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.conftest import run
from tests.e2e.load import load
from tests.e2e.process import Ended, GatewayProcess, command, gateway, one_provider, write_keys
from tests.fakes.behaviours import rate_limited
from tests.fakes.provider import FakeProvider

ONE, TWO, LIMITED = "sk-one-0000000000000001", "sk-two-0000000000000002", "sk-lim-0000000000000003"


@asynccontextmanager
async def gateway_with_a_benched_key(folder: Path) -> AsyncIterator[GatewayProcess]:
    """It takes over what a command has changed when the command says so, and not by a look of its own just before."""
    async with FakeProvider() as fake:
        write_keys(folder, [ONE, TWO, LIMITED])
        fake.script(LIMITED, rate_limited(3000))
        async with gateway(folder, one_provider(fake.base_url) + "\n[sync]\ninterval = 3600\n") as running:
            await load(running.address, 6, 1)
            assert fake.calls_by_key[LIMITED] == 1
            yield running


def scenario_test(play: Callable[[GatewayProcess], Awaitable[None]]) -> Callable[[Path], None]:
    def test(tmp_path: Path) -> None:
        async def scenario() -> None:
            async with gateway_with_a_benched_key(tmp_path) as running:
                await play(running)

        run(scenario(), 60)

    return test


def rows(ended: Ended) -> list[list[str]]:
    """A table's rows below its head, by columns."""
    assert ended.code == 0, ended.err
    return [re.split(r"\s{2,}", line) for line in ended.out.splitlines()[1:]]


async def statuses(running: GatewayProcess) -> dict[str, str]:
    ended = await running.command("keys", "list", "--json")
    assert ended.code == 0
    return {row["key"]: row["status"] for row in ended.json}


@scenario_test
async def test_status_says_what_is_benched_and_why_and_until_when(running: GatewayProcess) -> None:
    ended = await running.command("status")
    assert ended.code == 0
    assert ended.err == ""
    assert f"pid {running.process.pid}" in ended.out
    assert "1 rate_limited, 2 valid" in ended.out
    benched = ended.out.partition("Benched keys")[2]
    assert "rate_limited" in benched
    assert "in 49 m" in benched or "in 50 m" in benched
    assert "Rate limit reached." in benched


@scenario_test
async def test_status_is_json_for_scripts(running: GatewayProcess) -> None:
    (provider,) = (await running.command("status", "--json")).json["providers"]
    assert provider["counts"] == {"rate_limited": 1, "valid": 2}
    assert (provider["keys"], provider["usable"]) == (3, 2)
    (group,) = provider["groups"]
    assert (group["status"], group["keys"]) == ("rate_limited", 1)
    assert group["until"] == provider["next_recovery"]
    (file,) = provider["files"]
    assert (file["keys"], file["broken"], file["problems"]) == (3, False, [])


@scenario_test
async def test_keys_are_listed_by_pattern_provider_and_status(running: GatewayProcess) -> None:
    assert len(rows(await running.command("keys", "list"))) == 3
    assert [row[1] for row in rows(await running.command("keys", "list", "*0003"))] == ["sk-…0003"]
    assert len(rows(await running.command("keys", "list", "--status", "valid,suspect"))) == 2
    assert (await running.command("keys", "list", "--status", "rate_limited", "--json")).json[0]["key"] == "sk-…0003"
    limited = await running.command("keys", "list", "--limit", "1")
    assert len(rows(limited)) == 1
    assert limited.err == "… and 2 more (--limit)\n"
    for words, said in (
        (("nobody*",), "no key matches 'nobody*'\n"),
        (("nobody",), "no key is called that\n"),
        (("--status", "suspect"), "there is no key with status suspect\n"),
    ):
        ended = await running.command("keys", "list", *words)
        assert (ended.code, ended.out, ended.err) == (0, "", said)
    ended = await running.command("keys", "disable", "0607e")
    assert (ended.code, "eight digits are needed" in ended.err) == (1, True)
    for words in (("--provider", "nobody"), ("--status", "dizzy")):
        ended = await running.command("keys", "list", *words)
        assert ended.code == 1
        assert ended.err.startswith("error: There is no ")


@scenario_test
async def test_keys_are_disabled_enabled_and_cleared(running: GatewayProcess) -> None:
    ended = await running.command("keys", "disable", "sk-...0001")
    assert rows(ended) == [["main", "sk-…0001", "disabled"]]
    assert await statuses(running) == {"sk-…0001": "disabled", "sk-…0002": "valid", "sk-…0003": "rate_limited"}
    ended = await running.command("keys", "enable", "*0002")
    assert (ended.code, ended.out, ended.err) == (0, "", "nothing to do: the key is not disabled\n")
    ended = await running.command("keys", "enable", "*")
    assert rows(ended) == [["main", "sk-…0001", "untested"]]
    assert ended.err == "1 key enabled as new: what was known before is forgotten (not disabled: 2 others)\n"
    assert (await running.command("keys", "disable", "sk-...0001")).code == 0
    ended = await running.command("keys", "enable", "sk-...0001", "--json")
    assert [(row["key"], row["status"]) for row in ended.json["changed"]] == [("sk-…0001", "untested")]
    assert (await running.command("keys", "clear", "*", "--provider", "main")).code == 0
    assert set((await statuses(running)).values()) == {"untested"}


@scenario_test
async def test_a_key_is_named_by_itself_and_never_told_again(running: GatewayProcess) -> None:
    assert rows(await running.command("keys", "list", ONE)) == [["main", "sk-…0001", "valid"]]
    assert rows(await running.command("keys", "disable", ONE)) == [["main", "sk-…0001", "disabled"]]
    ended = await running.command("keys", "disable", f"{ONE}9")
    assert (ended.code, "error: no key is called that" in ended.err) == (1, True)
    assert ONE not in ended.err + str(running.logs)


@scenario_test
async def test_keys_that_look_alike_are_told_apart_by_their_digests(running: GatewayProcess) -> None:
    assert "DIGEST" not in (await running.command("keys", "list")).out
    added = await running.command("keys", "add", "main", "k1", "k2", "--config", str(running.config))
    assert added.code == 0, added.err
    listed = await running.command("keys", "list", "…")
    digests = [row[2] for row in rows(listed)]
    assert [row[:2] for row in rows(listed)] == [["main", "…"]] * 2
    assert len(set(digests)) == 2
    assert rows(await running.command("keys", "disable", digests[0])) == [["main", "…", "disabled"]]
    refused = await running.command("keys", "clear", "…")
    assert (refused.code, "2 keys have that name" in refused.err) == (1, True)
    assert [row[3] for row in rows(await running.command("keys", "clear", "…*"))] == ["untested", "untested"]


@scenario_test
async def test_a_gateway_is_not_asked_about_files_that_are_not_its_own(running: GatewayProcess) -> None:
    other = running.config.parent / "other" / "config.toml"
    ended = await running.command("config", "create", "openai:main", "--config", str(other))
    assert ended.code == 0
    assert f"no gateway that runs uses this configuration: {other}" in ended.err
    assert "'llmgateway reload'" in ended.err
    assert f" serve --config {other}" in ended.out
    ended = await running.command("keys", "add", "main", "sk-other-000000000009", "--config", str(other))
    assert "no gateway that runs uses this configuration" in ended.err
    assert not [line for line in running.logs if line["event"] == "reloaded"]
    assert len(await statuses(running)) == 3


@scenario_test
async def test_a_failed_reload_has_a_line_for_each_problem(running: GatewayProcess) -> None:
    running.config.write_text("[health]\n[queue]\nmax = -1\n")
    ended = await running.command("reload")
    assert ended.code == 1
    first, *problems = ended.err.splitlines()
    assert first == "error: The configuration has problems; the old one stays."
    assert [line.partition(f"{running.config}: ")[2].partition(":")[0] for line in problems] == [
        "health",
        "queue.max",
        "providers",
    ]


@scenario_test
async def test_status_names_the_file_of_a_problem_and_files_that_anybody_reads(running: GatewayProcess) -> None:
    path = running.config.parent / "keys" / "main.txt"
    path.write_text(path.read_text() + "two words\n")
    path.chmod(0o644)
    assert (await running.command("reload")).code == 0
    said = (await running.command("status")).out
    assert str(running.config) in said
    assert f"main: {path}: line 4: has something after the key" in said
    assert f"main: {path}: can be read by every user; run: chmod o= {path}" in said


@scenario_test
async def test_a_pattern_without_a_key_is_an_error(running: GatewayProcess) -> None:
    for words in ((), ("--json",)):
        ended = await running.command("keys", "disable", "sk-...9999", *words)
        assert ended.code == 1
        assert "no key matches 'sk-...9999'" in ended.err


@scenario_test
async def test_keys_that_are_added_and_removed_count_at_once(running: GatewayProcess) -> None:
    config = ("--config", str(running.config))
    three = "sk-new-0000000000000004"
    ended = await running.command("keys", "add", "main", three, *config)
    assert ended.code == 0
    assert ended.out.endswith("main: 4 keys (1 added, 0 removed)\n")
    assert (await statuses(running))["sk-…0004"] == "untested"
    ended = await running.command("keys", "remove", "main", *config, stdin=f"{three}\n{ONE}\n".encode())
    assert ended.out.endswith("main: 2 keys (0 added, 2 removed)\n")
    assert set(await statuses(running)) == {"sk-…0002", "sk-…0003"}
    assert (running.config.parent / "keys" / "main.txt").read_text() == f"{TWO}\n{LIMITED}\n"


@scenario_test
async def test_keys_are_imported_and_exported(running: GatewayProcess) -> None:
    given = f'["{ONE}", "sk-new-0000000000000004"]'.encode()
    ended = await running.command("keys", "import", "-", "--config", str(running.config), stdin=given)
    assert ended.code == 0
    assert ended.out.endswith("; 1 there already, 0 twice in -\nmain: 4 keys (1 added, 0 removed)\n")
    ended = await running.command("keys", "export", "--status", "valid")
    assert (sorted(ended.out.split()), ended.err) == (["sk-…0001", "sk-…0002"], "2 keys\n")
    ended = await running.command("keys", "export", "*0004", "--full")
    assert ended.out == "sk-new-0000000000000004\n"
    assert (await running.command("keys", "export", "--json", "--status", "rate_limited")).json[0]["key"] == "sk-…0003"
    ended = await running.command("keys", "export", "--provider", "nobody")
    assert (ended.code, ended.out) == (1, "")
    file, out = running.config.parent / "keys/main.txt", running.config.parent / "out"
    before = file.read_text()
    for words in ([str(file)], [str(file), "--force"]):
        assert (await running.command("keys", "export", "--full", "--output", *words)).code == 1
        assert file.read_text() == before
    for words in ([str(out)], [str(out), "--force"]):
        assert (await running.command("keys", "export", "*0004", "--output", *words)).code == 0
    assert out.read_text() == "sk-…0004\n"


def test_a_sudden_removal_is_held_until_the_next_look_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway_with_a_benched_key(tmp_path) as running:
            ended = await running.command("keys", "remove", "main", ONE, TWO, "--config", str(running.config))
            assert ended.code == 0
            assert "main: 3 keys (0 added, 0 removed)" in ended.out
            assert "lost more than half of its keys at once" in ended.err
            assert (await running.command("reload")).code == 0
            assert (await running.wait_log("keys_synced", 2))["removed"] == 2

    run(scenario(), 60)


@scenario_test
async def test_a_listing_that_nobody_reads_to_its_end_is_no_error(running: GatewayProcess) -> None:
    ended = await running.command("keys", "list", "--json")
    assert json.loads(ended.out)
    assert ended.err == ""


def test_commands_find_the_gateway_of_their_configuration(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with gateway_with_a_benched_key(tmp_path) as running:
            config = str(running.config)
            ended = await command("keys", "add", "main", "sk-new-0000000000000004", "--config", config)
            assert "main: 4 keys" in ended.out
            ended = await command("status", LLMGATEWAY_CONFIG=config)
            assert f"pid {running.process.pid}" in ended.out
            ended = await command("status", cwd=tmp_path)
            assert f"pid {running.process.pid}" in ended.out
            ended = await command("config", "create", "echo:more", "--config", config)
            assert "the daemon has reloaded; changed: providers.more" in ended.out

    run(scenario(), 60)


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["tables", "json"])
def test_a_watch_shows_the_status_again_and_again_and_ends_with_the_gateway(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with gateway_with_a_benched_key(tmp_path) as running:
            watching = asyncio.create_task(running.command("status", "--watch", *words), name="watch")
            while await looks(running) < 2:
                await asyncio.sleep(0.05)
            await running.stop()
            ended = await watching
        assert ended.code == 1
        assert "no gateway runs at" in ended.err or "does not answer" in ended.err
        assert ended.out.count("rate_limited") >= 4
        assert "\x1b" not in ended.out  # it is no terminal

    run(scenario(), 60)


async def looks(running: GatewayProcess) -> int:
    """Admin calls that went well. Those that only look are not in the log."""

    def fetch() -> str:
        with urlopen(f"{running.address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    lines = (await asyncio.to_thread(fetch)).splitlines()
    found = [line for line in lines if line.startswith("llm_requests_total{") and 'surface="admin"' in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in found if 'status="200"' in line)
