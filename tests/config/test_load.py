"""Finding, reading, overriding and completing a configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import find_config, load, load_config
from gateway.config.model import Config, ServerConfig
from gateway.config.provider import RetryCount, TimeoutsConfig
from gateway.config.tomltext import key_path, quoted
from gateway.errors import ConfigError, Problem
from tests.config.facts import ECHO, FACTS, PATH, parse, problems_of


def problem_of_file(path: Path) -> Problem:
    with pytest.raises(ConfigError) as caught:
        load_config(path, {}, provider_types=FACTS)
    (problem,) = caught.value.problems
    assert problem.where == str(path)
    return problem


# Finding


def test_the_configuration_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.config.load.PLACES", (Path("config.toml"), tmp_path / "etc.toml"))
    environ = {"LLMGATEWAY_CONFIG": "from-environment.toml"}
    assert find_config("explicit.toml", environ) == Path("explicit.toml")
    assert find_config(None, environ) == Path("from-environment.toml")
    with pytest.raises(ConfigError) as caught:
        find_config(None, {"LLMGATEWAY_CONFIG": ""})
    assert "config create openai:main" in str(caught.value)
    assert "serve --demo" in str(caught.value)
    (tmp_path / "etc.toml").write_text("")
    assert find_config(None, {}) == tmp_path / "etc.toml"
    (tmp_path / "config.toml").write_text("")
    assert find_config(None, {}) == Path("config.toml")


# Reading


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    problem = problem_of_file(tmp_path / "missing.toml")
    assert "no such file" in problem.message
    assert "config create openai:main" in problem.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[server]\nlisten = ["a"\nx', "not valid TOML: Unclosed array (at line 3, column 1)"),
        (b"a = 1\na = 2\n", "not valid TOML: Cannot overwrite a value"),
        (b"# fine\n# \xff\n", "is not UTF-8 (at line 2)"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
        (b"a = 2024-13-45", "not valid TOML"),
        (b"a = 'x'\0", "not valid TOML"),
    ],
)
def test_a_file_that_is_not_toml_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    assert message in problem_of_file(path).message


def test_what_cannot_be_read_is_a_problem_too(tmp_path: Path) -> None:
    assert "Is a directory" in problem_of_file(tmp_path).message
    assert "larger than" in problem_of_file(Path("/dev/zero")).message
    assert "no file name" in problem_of_file(Path("a\0b")).message


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + ECHO.replace("\n", "\r\n").encode())
    assert load_config(path, {}, provider_types=FACTS).providers["main"].type == "echo"


# A patch over defaults


def test_one_provider_is_a_complete_configuration() -> None:
    config = parse('[providers.main]\ntype = "openai"\n')
    assert config.server == ServerConfig()
    assert config.path == PATH
    assert config.state_dir == PATH.parent / "state"
    provider = config.providers["main"]
    assert provider.name == "main"
    assert provider.keys == ("/etc/gateway/keys/main.txt",)
    assert provider.base_url == "https://api.openai.com/v1"
    assert provider.timeouts == TimeoutsConfig()


def test_an_inner_table_patches_the_default_of_the_setting_it_stands_for() -> None:
    config = parse(ECHO + "[providers.main.retry]\non_server_error = {attempts = 5}\n[queue]\ntimeout = 3\n")
    assert config.providers["main"].retry.on_server_error == RetryCount(5, 0.5, 2.0)
    assert config.providers["main"].retry.on_key_error == RetryCount(20, 0.0, 1.0)
    assert config.queue.timeout == 3.0
    assert isinstance(config.queue.timeout, float)
    assert config.queue.max == 1000


@pytest.mark.parametrize(
    ("keys", "paths"),
    [
        ('"my.txt"', ("/etc/gateway/my.txt",)),
        ('["a.txt", "/b.txt"]', ("/etc/gateway/a.txt", "/b.txt")),
        ("[]", ("/etc/gateway/keys/main.txt",)),
    ],
)
def test_key_paths_are_relative_to_the_file(keys: str, paths: tuple[str, ...]) -> None:
    assert parse(f'[providers.main]\ntype = "openai"\nkeys = {keys}\n').providers["main"].keys == paths


def test_a_type_without_keys_gets_no_key_file() -> None:
    provider = parse(ECHO).providers["main"]
    assert provider.keys == ()
    assert provider.base_url == ""


def test_a_trailing_slash_of_the_base_url_does_not_count() -> None:
    text = '[providers.a]\ntype = "azure"\nbase_url = "http://[::1]:9/v1//"\n'
    assert parse(text).providers["a"].base_url == "http://[::1]:9/v1"


@pytest.mark.parametrize(
    ("there", "keys"),
    [
        ([], ["keys/main.txt"]),
        (["keys/main.txt"], ["keys/main.txt"]),
        (["keys/main/a.txt"], ["keys/main"]),
        (["keys/main.txt", "keys/main/a.txt"], ["keys/main.txt", "keys/main"]),
    ],
)
def test_without_a_place_keys_are_looked_for_in_a_file_and_a_folder(
    there: list[str], keys: list[str], tmp_path: Path
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    config = parse('[providers.main]\ntype = "openai"', path=tmp_path / "config.toml")
    assert config.providers["main"].keys == tuple(str(tmp_path / name) for name in keys)


def test_other_paths_are_relative_to_the_file_too(tmp_path: Path) -> None:
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    (tmp_path / "token").write_text("a-long-token\n")
    text = (
        '[server]\nlisten = ["unix:run/a.sock", "unix:/run/b.sock"]\n'
        '[server.tls]\ncert = "cert.pem"\nkey = "./cert.pem"\n[tokens.alice]\ntoken = "${file:token}"\n'
    )
    config = parse(ECHO + text, path=tmp_path / "config.toml")
    assert config.server.listen == (f"unix:{tmp_path}/run/a.sock", "unix:/run/b.sock")
    assert config.server.tls.cert == config.server.tls.key == str(tmp_path / "cert.pem")
    assert config.inventory.path == str(tmp_path / "inventory")
    assert config.tokens["alice"].token.reveal() == "a-long-token"
    assert config.tokens["alice"].user == "alice"


def test_a_relative_configuration_path_leads_to_absolute_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = parse('[providers.main]\ntype = "openai"\n', path=Path("config.toml"))
    assert config.path == tmp_path / "config.toml"
    assert config.providers["main"].keys == (str(tmp_path / "keys/main.txt"),)


@pytest.mark.parametrize(
    ("value", "folder"),
    [("/var/lib/a:/var/lib/b", "/var/lib/a"), ("/var/lib/a", "/var/lib/a"), ("", "/etc/gateway/state")],
)
def test_the_state_folder_is_the_first_that_systemd_gives(value: str, folder: str) -> None:
    assert parse(ECHO, {"STATE_DIRECTORY": value}).state_dir == Path(folder)


@pytest.mark.parametrize(
    ("value", "stored"), [("true", "true"), ("false", "false"), ('"auto"', "auto"), ('"true"', "true")]
)
def test_auth_is_required_by_word_or_truth_value(value: str, stored: str) -> None:
    text = f'[auth]\nrequired = {value}\n[tokens.a]\ntoken = "long-enough"\n{ECHO}'
    assert parse(text).auth.required == stored


def test_a_reference_may_stand_for_a_number_or_truth_value() -> None:
    text = ECHO + '[queue]\nmax = "${MAX}"\ntimeout = "${T:-2}"\n[metrics]\npublic = "${PUBLIC:-true}"\n'
    config = parse(text, {"MAX": "5"})
    assert (config.queue.max, config.queue.timeout, config.metrics.public) == (5, 2.0, True)
    found = problems_of(text, {"MAX": "five", "T": "true"})
    assert found["queue.max"].message == "must be a whole number, not a string"
    assert found["queue.timeout"].message == "must be a number, not true or false"


# Overrides


def test_a_variable_overrides_a_setting() -> None:
    config = parse(
        ECHO + "[providers.main.retry]\non_server_error = {attempts = 5, factor = 3}\n",
        {
            "LLMGATEWAY__QUEUE__TIMEOUT": "5",
            "LLMGATEWAY__AUTH__REQUIRED": "false",
            "LLMGATEWAY__SERVER__LISTEN": "127.0.0.1:9000",
            "LLMGATEWAY__SERVER__CORS_ORIGINS": '["https://a.example", "https://b.example"]',
            "LLMGATEWAY__LOGGING__LEVEL": "debug",
            "LLMGATEWAY__PROVIDERS__MAIN__RETRY__ON_SERVER_ERROR": "{attempts = 7}",
            "LLMGATEWAY__PROVIDERS__OTHER__TYPE": "openai",
            "LLMGATEWAY__TOKENS__CI__TOKEN": "1234567890",
            "LLMGATEWAY__TOKENS__CI__USER": "${WHO}",
            "WHO": "robot",
            "LLMGATEWAY_CONFIG": "no override",
            "LLMGATEWAY_SOCKET": "nor this",
        },
    )
    assert config.queue.timeout == 5.0
    assert config.auth.required == "false"
    assert config.server.listen == ("127.0.0.1:9000",)
    assert config.server.cors_origins == ("https://a.example", "https://b.example")
    assert config.logging.level == "debug"
    assert config.providers["main"].retry.on_server_error == RetryCount(7, 0.5, 3.0)
    assert config.providers["other"].base_url == "https://api.openai.com/v1"
    assert config.tokens["ci"].token.reveal() == "1234567890"
    assert config.tokens["ci"].user == "robot"


@pytest.mark.parametrize(
    ("variable", "value", "key", "message"),
    [
        ("LLMGATEWAY__QUEUE__TIMEOUT", "soon", "queue.timeout", "must be a number"),
        ("LLMGATEWAY__QUEUE__TIMEOT", "5", "queue.timeot", "unknown setting"),
        ("LLMGATEWAY__SERVER__LISTEN", "nonsense", "server.listen[0]", "is not host:port"),
        ("LLMGATEWAY__QUEUE", "5", "queue", "must be a table"),
        ("LLMGATEWAY__PROVIDERS__MAIN__TYPE__X", "5", "providers.main.type.x", "providers.main.type is not a table"),
        ("LLMGATEWAY__", "5", '""', "names no setting"),
        ("LLMGATEWAY__QUEUE____MAX", "5", 'queue."".max', "names no setting"),
        ("LLMGATEWAY__QUEUE__MAX", "\udcff", "queue.max", "not valid UTF-8"),
        ("LLMGATEWAY__QUEUE__MAX", "1\nevil = 2", "queue.max", "must be a whole number, not a string"),
        ("LLMGATEWAY__TOKENS__A__TOKEN", "short", "tokens.a.token", "shorter than 8"),
    ],
)
def test_a_wrong_override_names_its_variable(variable: str, value: str, key: str, message: str) -> None:
    problem = problems_of(ECHO, {variable: value})[key]
    assert problem.where == variable
    assert message in problem.message


def test_origins_say_what_the_file_and_the_variables_set(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    (tmp_path / "url").write_text("http://hidden.example")
    path.write_text('[providers.main]\ntype = "openai"\nbase_url = "${file:url}"\n[queue]\nmax = 5\n')
    loaded = load(path, {"LLMGATEWAY__QUEUE__MAX": "6"}, provider_types=FACTS)
    assert loaded.origins == {
        "providers.main.type": "file",
        "providers.main.base_url": "file",
        "queue.max": "LLMGATEWAY__QUEUE__MAX",
    }
    assert loaded.config.masked == {"providers.main.base_url"}


# Whatever comes

WORDS = st.sampled_from(
    ["server", "listen", "providers", "main", "type", "tokens", "token", "auth", "required", "retry", "on_key_error",
     "attempts", "headers", "models", "tls", "cert", "base_url", "queue", "max", "timeout", "name", "path", ""]
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        ["openai", "echo", "${", "${X}", "${file:/nope}", "unix:", "127.0.0.1:1", "[::1]:1", "http://[", "a\0b"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
VALUES = st.recursive(
    st.one_of(
        TEXTS.map(quoted),
        st.integers(-(10**400), 10**400).map(str),
        st.sampled_from(["true", "false", "nan", "-inf", "1.5", "1e400", "2024-01-01", "07:32:00"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(WORDS, inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key_path(k)} = {v}" for k, v in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.lists(WORDS, min_size=1, max_size=4).map(lambda path: f"[{key_path(*path)}]"),
    st.tuples(st.lists(WORDS, min_size=1, max_size=4), VALUES).map(lambda pair: f"{key_path(*pair[0])} = {pair[1]}"),
)


def loads_or_says_why(text: str, environ: dict[str, str]) -> None:
    try:
        config = parse(text, environ)
    except ConfigError as error:
        assert error.problems
        assert all(problem.message for problem in error.problems)
        str(error)
    else:
        assert isinstance(config, Config)


@given(st.text(st.characters(), max_size=200))
def test_no_text_raises_anything_but_a_configuration_error(text: str) -> None:
    loads_or_says_why(text, {})


@settings(max_examples=300)
@given(st.lists(LINES, max_size=6), st.dictionaries(WORDS, VALUES, max_size=3))
def test_no_toml_raises_anything_but_a_configuration_error(lines: list[str], overrides: dict[str, str]) -> None:
    environ = {f"LLMGATEWAY__{name.upper()}__MAIN__TYPE": value for name, value in overrides.items()}
    loads_or_says_why("\n".join(lines), environ)


def test_thousands_of_tables_load() -> None:
    text = "".join(
        f'[providers.p{i}]\ntype = "openai"\n[tokens.t{i}]\ntoken = "secret-token-{i}"\nproviders = ["p{i}"]\n'
        for i in range(1500)
    )
    config = parse(text)
    assert len(config.providers) == len(config.tokens) == 1500


def test_importing_the_loader_is_cheap() -> None:
    code = "import sys, gateway.config.load; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"asyncio", "ssl", "sqlite3", "logging", "difflib", "socket", "argparse", "textwrap", "http", "email"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize(
    ("proxy", "file"),
    [
        ('mode = "none"', ""),
        ('mode = "static"\nurl = "http://h:1"', ""),
        ('mode = "pool"', "/etc/gateway/proxies/main.txt"),
        ('mode = "sticky"', "/etc/gateway/proxies/main.txt"),
        ('mode = "pool"\nfile = "exits.txt"', "/etc/gateway/exits.txt"),
        ('mode = "pool"\nfile = "/a/b.txt"', "/a/b.txt"),
    ],
)
def test_a_proxy_file_stands_beside_the_key_files(proxy: str, file: str) -> None:
    config = parse(f'[providers.main]\ntype = "openai"\n[providers.main.proxy]\n{proxy}')
    assert config.providers["main"].proxy.file == file
