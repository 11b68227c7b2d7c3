"""`llmgateway prices`, in a folder of its own."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.place import empty_place, run

CONFIG = """
[providers.main]
type = "openai"
keys = "keys.txt"

[providers.mirror]
type = "openai"
base_url = "https://openai.example.org/v1"
prices = "none"
keys = "keys.txt"

[providers.local]
type = "ollama"
"""

PER_TOKEN = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 3e-06,
    "output_cost_per_token": 9e-06,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = empty_place(tmp_path, monkeypatch)
    (place / "config.toml").write_text(CONFIG)
    (place / "keys.txt").write_text("sk-main-000000000001\n")
    return place


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    def show(*words: str) -> list[tuple[str, str, float, str]]:
        capsys.readouterr()
        if run("prices", "show", *words, "--json"):
            return []
        rows = json.loads(capsys.readouterr().out)
        return [(row["provider"], row["model"], row["input"], row["from"].split()[0]) for row in rows]

    return show


def write(folder: Path, name: str, document: object) -> str:
    (folder / name).write_text(json.dumps(document))
    return name


def test_a_models_price_is_shown_for_each_provider_that_has_one(shown: Any) -> None:
    assert shown("gpt-4o") == [("main", "gpt-4o", 2.5, "book")]
    assert shown("gpt-4o-2024-11-20") == [("main", "gpt-4o-2024-11-20", 2.5, "book")]
    assert {row[0] for row in shown("gpt-4*")} == {"main"}


def test_a_vendor_that_is_not_configured_is_shown_too(shown: Any) -> None:
    assert shown("claude-sonnet-4-5", "--provider", "anthropic") == [("anthropic", "claude-sonnet-4-5", 3, "book")]


@pytest.mark.parametrize("words", [("nothing",), ("--provider", "nobody"), ("--provider", "ollama"), ("x*y",)])
def test_that_there_is_no_price_is_an_error(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prices", "show", *words) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_table_of_prices_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prices", "show", "gemini-2.5-pro", "--provider", "gemini") == 0
    said = capsys.readouterr().out.split()
    assert {"1.25", "10", "0.125", "200000", "2.5/15"} <= set(said)
    assert run("prices", "show", "--limit", "1") == 0
    assert "more (--limit)" in capsys.readouterr().err


def test_a_price_that_is_set_goes_before_all_others(folder: Path, shown: Any) -> None:
    assert run("prices", "set", "gpt-4o", "--input", "3", "--output", "12.50", "--cache-read", "1") == 0
    assert run("prices", "set", "local/llama3", "--input", "0", "--output", "0") == 0
    text = (folder / "config.toml").read_text()
    assert text.startswith(CONFIG)
    assert tomllib.loads(text)["prices"]["gpt-4o"] == {"input": 3, "output": 12.5, "cache_read": 1}
    assert shown("gpt-4o") == [(name, "gpt-4o", 3, "config") for name in ("main", "mirror", "local")]
    assert shown("llama3") == [("local", "llama3", 0, "config")]
    assert shown("*")[0][3] == "config"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("gpt-4o",), 1),
        (("gpt-4o", "--input", "-1"), 2),
        (("gpt-4o", "--input", "nan"), 2),
        (("gpt-4o", "--input", "2,50"), 2),
        (("gpt-4o", "--input", "0.0000025"), 3),
        (("gpt-4o", "--input", "2"), 1),
        (("gpt-4o", "--remove"), 3),
        (("gpt-*", "--input", "2", "--output", "3"), 1),
        (("gpt-4o", "--remove", "--input", "2", "--output", "3"), 1),
    ],
)
def test_a_price_that_is_none_changes_nothing(folder: Path, words: tuple[str, ...], code: int) -> None:
    assert run("prices", "set", *words) == code
    assert (folder / "config.toml").read_text() == CONFIG


def test_an_imported_list_goes_before_the_bundled_one_and_replaces_the_last(folder: Path, shown: Any) -> None:
    assert run("prices", "import", write(folder, "a.json", {"gpt-4o": PER_TOKEN, "gpt-new": PER_TOKEN})) == 0
    assert shown("gpt-4o") == [("main", "gpt-4o", 3, "import")]
    assert shown("gpt-new") == [("main", "gpt-new", 3, "import")]
    assert shown("gpt-4o-mini") == [("main", "gpt-4o-mini", 0.15, "book")]
    assert (folder / "state/prices.json").stat().st_mode & 0o777 == 0o644
    assert run("prices", "import", write(folder, "b.json", {"gpt-5": PER_TOKEN})) == 0
    assert shown("gpt-new") == []
    assert shown("gpt-5") == [("main", "gpt-5", 3, "import")]


def test_an_import_says_what_was_taken_what_changed_and_what_was_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {
        **{f"gpt-{number}x": PER_TOKEN for number in range(60)},
        "gpt-4o": PER_TOKEN,
        "gpt-wrong": {**PER_TOKEN, "input_cost_per_token": 3.0},
        "ollama/llama": {**PER_TOKEN, "litellm_provider": "ollama"},
    }
    assert run("prices", "import", write(folder, "a.json", document), "--dry-run") == 0
    said = capsys.readouterr()
    assert "a.json: 61 prices of 1 vendor, in LiteLLM's form" in said.out
    assert "openai/gpt-4o: input 2.5 output 10 cache_read 1.25 -> input 3 output 9" in said.out
    assert "refused: 1 no likely price of a million tokens: openai/gpt-wrong" in said.err
    assert "left out: 1 of vendors" in said.err
    assert not (folder / "state").exists()


def test_a_price_nothing_like_before_is_believed_by_force_alone(folder: Path, shown: Any) -> None:
    entry = {**PER_TOKEN, "input_cost_per_token": 3e-09, "output_cost_per_token": 9e-09}
    name = write(folder, "a.json", {"gpt-4o": entry})
    assert run("prices", "import", name) == 0
    assert shown("gpt-4o")[0][2] == 2.5
    assert run("prices", "import", name, "--force") == 0
    assert shown("gpt-4o")[0][2] == 0.003


def test_of_several_files_the_first_that_has_a_model_counts(folder: Path, shown: Any) -> None:
    second = [{"id": "openai", "models": [{"id": name, "prices": PER_MILLION} for name in ("gpt-4o", "gpt-b")]}]
    files = write(folder, "a.json", {"gpt-4o": PER_TOKEN}), write(folder, "b.json", second)
    assert run("prices", "import", *files, "--source", "both", "--date", "2026-01-02") == 0
    assert [row[2] for row in shown("gpt-4o") + shown("gpt-b")] == [3, 4]
    written = json.loads((folder / "state/prices.json").read_text())
    assert (written["source"], written["date"]) == ("both", "2026-01-02")


PER_MILLION = {"input_mtok": 4, "output_mtok": 8}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"form": "llmgateway-prices-1"}'])
def test_what_is_no_list_is_refused_by_its_name_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (folder / "a.json").write_text(content)
    assert run("prices", "import", "a.json") == 1
    assert "a.json" in capsys.readouterr().err
    assert not (folder / "state").exists()


def test_a_list_can_be_written_elsewhere_without_a_configuration(folder: Path) -> None:
    (folder / "config.toml").unlink()
    name = write(folder, "a.json", {"gpt-4o": PER_TOKEN, "gpt-4o-2024-11-20": PER_TOKEN})
    assert run("prices", "import", name, "--output", "out.json", "--json") == 0
    written = json.loads((folder / "out.json").read_text())
    assert written["prices"] == {"openai": {"gpt-4o": {"input": 3, "output": 9}}}


def test_a_damaged_import_is_named_and_mended_by_another(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "state").mkdir()
    (folder / "state/prices.json").write_text("{")
    assert run("prices", "show", "gpt-4o") == 3
    assert "prices.json" in capsys.readouterr().err
    assert run("prices", "import", write(folder, "a.json", {"gpt-4o": PER_TOKEN})) == 0
    assert run("prices", "show", "gpt-4o") == 0


def test_a_bucket_is_taken_away_and_the_whole_price_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prices", "set", "mine", "--input", "3", "--output", "12.50", "--cache-read", "1") == 0
    capsys.readouterr()
    assert run("prices", "set", "mine", "--output", "10") == 0
    assert "mine costs input 3, output 10, cache_read 1 for a million tokens" in capsys.readouterr().out
    assert run("prices", "set", "mine", "--cache-read", "none") == 0
    assert "mine costs input 3, output 10 for a million tokens" in capsys.readouterr().out
    assert run("prices", "set", "mine", "--output", "none") == 1
    assert "add --output, 0 if it is free" in capsys.readouterr().err
    assert run("prices", "set", "mine", "--remove") == 0
    assert (folder / "config.toml").read_text().strip() == CONFIG.strip()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--request", "0.5"), "mine costs 0.5 for each request\n"),
        (
            ("--input", "3", "--output", "12", "--request", "0.01"),
            "mine costs input 3, output 12 for a million tokens and 0.01 for each request\n",
        ),
    ],
)
def test_a_price_of_each_request_is_told_from_one_of_a_million_tokens(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run("prices", "set", "mine", *words) == 0
    assert said in capsys.readouterr().out


def test_whose_list_has_the_model_is_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prices", "show", "gpt-4o", "--provider", "mirror") == 1
    assert 'write prices = "openai" into [providers.mirror]' in capsys.readouterr().err


@pytest.mark.parametrize("words", [("set", "mine", "--input", "1", "--output", "2"), ("show", "mine")])
def test_an_alias_is_told_as_such(folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    (folder / "config.toml").write_text(CONFIG + 'models = ["mine=llama3"]\n')
    run("prices", *words)
    assert "note: mine is an alias of llama3 at local" in capsys.readouterr().err


BILLED = "\n[auth]\nrequired = true\n[billing]\nenabled = true\n"


def test_providers_at_which_nothing_has_a_price_are_named_by_a_check(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def warned(text: str) -> set[str]:
        (folder / "config.toml").write_text(text)
        assert run("config", "check") == 0
        said = capsys.readouterr().err.splitlines()
        return {line.split(": ")[1] for line in said if "no model has a price" in line}

    assert warned(CONFIG) == set()
    assert warned(CONFIG + BILLED) == {"providers.mirror", "providers.local"}
    assert warned(CONFIG + BILLED + "[prices.'mirror/x']\noutput = 1\n") == {"providers.local"}
    assert warned(CONFIG + BILLED + "[prices.b]\noutput = 1\n") == set()
    assert warned(CONFIG + BILLED + "[prices.'*']\noutput = 1\n") == {"providers.mirror", "providers.local"}
    assert warned(CONFIG + BILLED + "unpriced = 'free'\n") == set()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('models = ["llama3", "gpt-4o"]\n', ['models[0]: "llama3"', 'models[1]: "gpt-4o"']),
        ('models = ["a=b", "c=d"]\n[prices.b]\noutput = 1\n[prices.a]\noutput = 1\n', ['models[1]: "d"']),
        ('models = ["a"]\n[prices."other/a"]\noutput = 1\n', ['models[0]: "a"']),
        ('models = ["a"]\n[prices."*"]\noutput = 1\n', ['models[0]: "a"']),
        ('models = ["a"]\nenabled = false\n', []),
        ('default_model = "a"\n', ['default_model: "a"']),
        ('models = ["a=b"]\ndefault_model = "a"\n', ['models[0]: "b"']),
        (
            '[routes.fast]\ntargets = [{provider = "main", model = "gpt-4o"}, {provider = "main"}, '
            '{provider = "local", model = "x"}]\n',
            ['routes.fast.targets[1].model: "fast"', 'routes.fast.targets[2].model: "x"'],
        ),
        ('models = ["a=b"]\n[routes.r]\ntargets = [{provider = "local", model = "a"}]\n', ['models[0]: "b"']),
        ('models = ["${file:secret}"]\n', ['models[0]: "****"']),
    ],
)
def test_each_model_that_is_named_and_has_no_price_is_warned_of(
    folder: Path, capsys: pytest.CaptureFixture[str], more: str, said: list[str]
) -> None:
    (folder / "secret").write_text("hidden-model")
    (folder / "config.toml").write_text(CONFIG + more + BILLED)
    assert run("config", "check") == 0
    lines = capsys.readouterr().err.splitlines()
    refused = [line.removeprefix("warning: ") for line in lines if line.endswith(" has no price: it is refused (402)")]
    assert [line.removeprefix("providers.local.").partition(" has ")[0] for line in refused] == said


def test_a_pattern_is_no_price(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.toml").write_text(CONFIG + "[prices.'gpt-*']\noutput = 1\n")
    assert run("config", "check") == 0
    assert 'warning: prices."gpt-*": a price is of one model; there are no patterns\n' in capsys.readouterr().err


def test_of_many_models_without_a_price_the_first_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ", ".join(f'"m{number}"' for number in range(60))
    (folder / "config.toml").write_text(f"{CONFIG}models = [{models}]\n{BILLED}")
    assert run("config", "check") == 0
    said = capsys.readouterr().err
    assert '"m49" has no price' in said and '"m50"' not in said
    assert "… and 10 more models without a price\n" in said
