"""What a configuration must not say, and that everything is reported at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trustme

from gateway.config.validate import auth_is_on
from tests.config.facts import ECHO, PATH, parse, problems_of

TOKEN = '[tokens.a]\ntoken = "long-enough"\n'

BAD = [
    # tables and types
    ("sever = 1", "sever", "unknown setting", 'did you mean "server"?'),
    ("[server]\nlisten_on = []", "server.listen_on", "unknown setting", 'did you mean "listen"?'),
    ("server = 3", "server", "must be a table, not a whole number", "write [server]"),
    ("[[queue]]\nmax = 1", "queue", "must be a table, not a list", "write [queue]"),
    ("[server]\nlisten = [1]", "server.listen[0]", "must be a string, not a whole number", "put it in quotes"),
    ("[server]\nlisten = {}", "server.listen", "must be a string, not a table", ""),
    ('[queue]\nmax = "5"', "queue.max", "must be a whole number, not a string", "without quotes"),
    ("[queue]\nmax = 5.0", "queue.max", "must be a whole number, not a number", ""),
    ("[queue]\nmax = true", "queue.max", "must be a whole number, not true or false", ""),
    ("[queue]\nmax = 2024-01-01", "queue.max", "must be a whole number, not a date or time", ""),
    ("[queue]\ntimeout = nan", "queue.timeout", "must be a finite number", ""),
    ("[queue]\ntimeout = inf", "queue.timeout", "must be a finite number", ""),
    ("[queue]\ntimeout = 0", "queue.timeout", "must be more than 0", ""),
    (f"[queue]\ntimeout = {10**400}", "queue.timeout", "must be at most", ""),
    ("[queue]\nmax = -1", "queue.max", "must be at least 0", ""),
    ("[metrics]\npublic = 1", "metrics.public", "must be true or false, not a whole number", ""),
    ('[metrics]\npublic = "true"', "metrics.public", "must be true or false", "without quotes"),
    ('[store]\nurl = "sqlite:a\\u0000b"', "store.url", "NUL", ""),
    ('[store]\nurl = "${NOT_SET}"', "store.url", "the variable NOT_SET is not set", "${NOT_SET:-…}"),
    # server
    ("[server]\nlisten = []", "server.listen", "names no address", "127.0.0.1:8000"),
    ('[server]\nlisten = ["localhost"]', "server.listen[0]", "is not host:port", "unix:/path"),
    ('[server]\nlisten = ["a:1", "127.0.0.1:70000"]', "server.listen[1]", "port above 65535", ""),
    ('[server]\nlisten = ["localhost:1", "LOCALHOST:1"]', "server.listen[1]", "is listed twice", ""),
    ('[server]\nlisten = ["127.0.0.1:1", "localhost:1"]', "server.listen[1]", "overlaps with server.listen[0]", "one"),
    (f'{TOKEN}[server]\nlisten = ["127.0.0.1:1", "0.0.0.0:1"]', "server.listen[1]", "overlaps with", ""),
    ('[server]\nlisten = ["unix:a", "unix:b/../a"]', "server.listen[1]", "is listed twice", ""),
    ('[server]\nlisten = ["unix:state/admin.sock"]', "server.listen[0]", "place of the admin socket", "another"),
    ('[server]\nlisten = ["unix:/run/llmgateway/admin.sock"]', "server.listen[0]", "place of the admin socket", ""),
    ('[server.tls]\ncert = "/etc/passwd"\nkey = "/etc/passwd"', "server.tls", "cannot be used", "PEM"),
    ('[server]\nallowed_hosts = ["https://a"]', "server.allowed_hosts[0]", "is not a host name", "without scheme"),
    ('[server]\nallowed_hosts = ["a.example:80"]', "server.allowed_hosts[0]", "is not a host name", "port"),
    ('[server]\ncors_origins = ["https://a/b"]', "server.cors_origins[0]", "is not an origin", "without a path"),
    ('[server]\ntrusted_proxies = ["10.0.0.0/33"]', "server.trusted_proxies[0]", "is not an address", "10.0.0.0/8"),
    ("[server]\nmax_buffered_bytes = 2048", "server.max_buffered_bytes", "smaller than", "67108864"),
    ('[server.tls]\ncert = "/etc/passwd"', "server.tls.key", "is missing", "both"),
    ('[server.tls]\nkey = "/etc/passwd"', "server.tls.cert", "is missing", "both"),
    ('[server.tls]\ncert = "no.pem"\nkey = "/etc/passwd"', "server.tls.cert", "is no file", "/etc/gateway/no.pem"),
    ('[server.tls]\ncert = "/"\nkey = "/etc/passwd"', "server.tls.cert", "is no file", "leads to /"),
    ('[server]\ndefault_provider = "mian"', "server.default_provider", "there is no provider", 'mean "main"?'),
    ('[providers.off]\ntype = "echo"\nenabled = false\n[server]\ndefault_provider = "off"', "server.default_provider",
     "is not enabled", "providers.off.enabled = true"),
    # store, auth, logging
    ('[store]\nurl = "postgresql://u:p@h/d"', "store.url", "not in this version", "sqlite:FILE"),
    ('[store]\nurl = "sqlite:"', "store.url", "not a database", "sqlite:FILE"),
    ('[store]\nurl = "sqlite:///a"', "store.url", "not a database", "without slashes"),
    ('[store]\nurl = "mysql:a"', "store.url", "not a database", ""),
    ('[auth]\nrequired = "yes"', "auth.required", 'must be one of "auto", true, false', ""),
    ("[auth]\nrequired = 1", "auth.required", 'must be one of "auto", true, false, not a whole number', ""),
    ("[health]\ninvalid = 1", "health", "unknown setting", "it belongs under [providers.NAME.health]"),
    ('base_url = "http://a"', "base_url", "unknown setting", "it belongs under [providers.NAME]"),
    ('[server]\nlisten = ["0.0.0.0:1"]\n[auth]\nrequired = false', "auth.required",
     "is false while 0.0.0.0:1", "127.0.0.1"),
    ('[logging]\nlevel = "wraning"', "logging.level", "must be one of", 'did you mean "warning"?'),
    # tokens
    ("[tokens.a]", "tokens.a.token", "is missing", "${file:"),
    ('[tokens.a]\ntoken = "1234567"', "tokens.a.token", "shorter than 8", "openssl"),
    ("[tokens.a]\ntoken = 12345678", "tokens.a.token", "must be a string", "quotes"),
    ('[tokens.a]\ntoken = "two words"', "tokens.a.token", "no header can carry", ""),
    ('[tokens.a]\ntoken = "ümläuteü"', "tokens.a.token", "no header can carry", ""),
    (f'{TOKEN}[tokens.b]\ntoken = "long-enough"', "tokens.b.token", "is the same as tokens.a.token", ""),
    (f'{TOKEN}scopes = ["use", "amdin"]', "tokens.a.scopes[1]", "must be one of", 'did you mean "admin"?'),
    (f"{TOKEN}user = ' ann'", "tokens.a.user", "is no name of a user", "without spaces around"),
    (f'{TOKEN}user = "ann\\n"', "tokens.a.user", "is no name of a user", "printable"),
    (f'{TOKEN}user = "ann\\u200b"', "tokens.a.user", "is no name of a user", "printable"),  # a zero-width space
    (f'{TOKEN}user = "{"a" * 201}"', "tokens.a.user", "is no name of a user", "up to 200"),
    (f"{TOKEN}scopes = []", "tokens.a.scopes", "allows nothing", "use"),
    (f'{TOKEN}providers = ["mainn"]', "tokens.a.providers[0]", "there is no provider", 'mean "main"?'),
    (f'{TOKEN}default_provider = "x"', "tokens.a.default_provider", "there is no provider", ""),
    (f'{TOKEN}providers = ["b"]\ndefault_provider = "main"\n[providers.b]\ntype = "echo"', "tokens.a.default_provider",
     "is not among the providers", ""),
    ('[tokens."a b"]\ntoken = "long-enough"', 'tokens."a b"', "no usable name", "letters"),
    # providers
    ("[providers.b]", "providers.b.type", "is missing", '"openai"'),
    ('[providers.b]\ntype = "opnai"', "providers.b.type", "no known type", 'did you mean "openai"?'),
    ('[providers."b/c"]\ntype = "echo"', 'providers."b/c"', "no usable name", ""),
    ('[providers.".."]\ntype = "echo"', 'providers.".."', "no usable name", ""),
    ('[inventory]\npath = ""', "inventory.path", "names no folder", 'path = "inventory"'),
    ('[inventory]\npath = "keys"\n[providers.b]\ntype = "openai"', "inventory.path", 'the keys of "b" are', ""),
    ('[inventory]\npath = "a"\n[providers.b]\ntype = "openai"\nkeys = ["x.txt", "a/b/valid.ndjson"]',
     "inventory.path", 'the keys of "b" are', ""),
    ('[providers.""]\ntype = "echo"', 'providers.""', "no usable name", ""),
    ("[providers]\nb = 1", "providers.b", "must be a table", "write [providers.b]"),
    ('[providers.b]\ntype = "echo"\nname = "c"', "providers.b.name", "unknown setting", ""),
    ('[providers.b]\ntype = "azure"', "providers.b.base_url", "is missing", "no default"),
    ('[providers.b]\ntype = "openai"\nkeys = [""]', "providers.b.keys[0]", "names no file", "keys/b.txt"),
    ('[providers.b]\ntype = "echo"\nmodels = ["a=", "b"]', "providers.b.models[0]", "is not a model", "upstream"),
    ('[providers.b]\ntype = "echo"\nmodels = ["a", "a=b"]', "providers.b.models[1]", "a second time", ""),
    ('[providers.b]\ntype = "echo"\nselection = "fastest"', "providers.b.selection", 'one of "round_robin"', ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.probe]\nkind = "ping"', "providers.b.probe.kind", "one of", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.probe]\nkind = "request"', "providers.b.probe.model", "needs a model",
        'model = "gpt-4.1-nano"'),
    ('[providers.b]\ntype = "echo"\n[providers.b.probe]\npayload = "[1]"', "providers.b.probe.payload",
        "must be a JSON object", "payload ="),
    ('[providers.b]\ntype = "echo"\n[providers.b.timeouts]\nconnect = 0', "providers.b.timeouts.connect",
     "more than 0", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.retry]\non_key_error = {attempts = 1001}',
     "providers.b.retry.on_key_error.attempts", "at most 1000", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.retry]\non_key_error = {factor = 0.5}',
     "providers.b.retry.on_key_error.factor", "at least 1", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.retry]\nbudget = 11', "providers.b.retry.budget", "at most 10", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.retry]\nreplay_unanswered = "often"',
     "providers.b.retry.replay_unanswered", "must be one of", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.proxy]\nmode = "tor"', "providers.b.proxy.mode", "must be one of", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.proxy]\nmode = "static"', "providers.b.proxy.url", "is missing",
     "${file:"),
    ('[providers.b]\ntype = "echo"\n[providers.b.proxy]\nmode = "static"\nurl = "http://user:s3cret@host"',
     "providers.b.proxy.url", "must end in host:port", "http://user:password@host:port"),
    ('[providers.b]\ntype = "echo"\n[providers.b.proxy]\nurl = "http://h:1"', "providers.b.proxy.url",
     'not used in mode "none"', "static"),
    ('[providers.b]\ntype = "echo"\n[providers.b.proxy]\nmode = "pool"\nurl = "http://h:1"', "providers.b.proxy.url",
     'not used in mode "pool"', "static"),
    ('[providers.b]\ntype = "echo"\n[providers.b.proxy]\nmode = "static"\nurl = "http://h:1"\nfile = "a"',
     "providers.b.proxy.file", 'not used in mode "static"', "sticky"),
    ('[providers.b]\ntype = "echo"\n[providers.b.headers]\nHost = "a"', "providers.b.headers.Host", "sets itself", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.headers]\nauthorization = "a"', "providers.b.headers.authorization",
     "sets itself", "key file"),
    ('[providers.b]\ntype = "echo"\n[providers.b.headers]\n"a b" = "a"', 'providers.b.headers."a b"',
     "no header name", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.headers]\nx = "a\\r\\nb: c"', "providers.b.headers.x",
     "no header can carry", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.headers]\nx = "a"\nX = "b"', "providers.b.headers.X",
     "given twice", ""),
    ('[providers.b]\ntype = "echo"\n[providers.b.headers]\nx = 1', "providers.b.headers.x", "must be a string", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "message", "hint"), BAD, ids=[f"{i}-{each[1]}" for i, each in enumerate(BAD)])
def test_a_mistake_is_named_with_what_to_do(text: str, key: str, message: str, hint: str) -> None:
    found = problems_of(f"{text}\n{ECHO}")
    assert set(found) == {key}
    assert found[key].where == str(PATH)
    assert message in found[key].message
    assert hint in found[key].hint


@pytest.mark.parametrize(
    "name",
    [
        "Accept-Encoding", "Connection", "Content-Length", "Content-Type", "Expect", "Keep-Alive",
        "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
    ],
)  # fmt: skip
def test_a_header_that_belongs_to_the_request_or_the_connection_is_no_setting(name: str) -> None:
    found = problems_of(f'[providers.b]\ntype = "echo"\n[providers.b.headers]\n{name} = "a"\n{ECHO}')
    assert found[f"providers.b.headers.{name}"].message == "is a header that the gateway sets itself"


@pytest.mark.parametrize(("variable", "value"), [("LLMGATEWAY_SOCKET", "/x/mine.sock"), ("RUNTIME_DIRECTORY", "/x:/y")])
def test_no_client_listens_where_the_environment_puts_the_admin_socket(variable: str, value: str) -> None:
    text = f'{ECHO}[server]\nlisten = ["unix:/x/mine.sock", "unix:/x/admin.sock"]'
    assert parse(text)
    (problem,) = problems_of(text, {variable: value}).values()
    assert "place of the admin socket" in problem.message


def issue(folder: Path, name: str) -> None:
    issued = trustme.CA().issue_cert(name)
    (folder / f"{name}.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (folder / f"{name}.key").write_bytes(issued.private_key_pem.bytes())


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        ("a.pem", "a.key", ""),
        ("a.pem", "b.key", "the key does not belong to the certificate"),
        ("a.key", "a.pem", "certificate and key cannot be used"),
        ("a.pem", "junk", "certificate and key cannot be used"),
        ("junk", "a.key", "certificate and key cannot be used"),
    ],
)
def test_certificate_and_key_are_loaded_to_see_whether_they_work(
    cert: str, key: str, message: str, tmp_path: Path
) -> None:
    issue(tmp_path, "a")
    issue(tmp_path, "b")
    (tmp_path / "junk").write_text("junk")
    text = f'{ECHO}[server.tls]\ncert = "{cert}"\nkey = "{key}"'
    if message:
        assert problems_of(text, path=tmp_path / "config.toml")["server.tls"].message == message
    else:
        assert parse(text, path=tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("api.example.org", "is not an http:// or https:// URL"),
        ("ftp://a/v1", "is not an http:// or https:// URL"),
        ("http://", "is not an http:// or https:// URL"),
        ("http:///v1", "is not an http:// or https:// URL"),
        ("https://a:99999/v1", "is not an http:// or https:// URL"),
        ("https://a:b/v1", "is not an http:// or https:// URL"),
        ("https://[zz]/v1", "is not an http:// or https:// URL"),
        ("https://a b/v1", "is not an http:// or https:// URL"),
        ("https://a/v 1", "is not an http:// or https:// URL"),
        ("https://a/v1?key=s3cret", "must not have a query or fragment"),
        ("https://a/v1#x", "must not have a query or fragment"),
        ("https://user:s3cret@a/v1", "must not contain a user or password"),
    ],
)
def test_a_base_url_is_scheme_host_and_path_and_never_quoted(url: str, message: str) -> None:
    problem = problems_of(f'[providers.b]\ntype = "openai"\nbase_url = "{url}"')["providers.b.base_url"]
    assert problem.message == message
    assert "s3cret" not in str(problem)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "https://a.example/v1/x-y_z", "HTTPS://A", "http://[::1]:1/a"]
)
def test_a_good_base_url_passes(url: str) -> None:
    assert parse(f'[providers.b]\ntype = "openai"\nbase_url = "{url}"').providers["b"].base_url == url


def test_every_problem_is_reported_at_once() -> None:
    found = problems_of(
        "".join(f"{text}\n" for text in ["x = 1", "[queue]", "max = -1", "[logging]", 'level = "x"', "[tokens.a]"])
    )
    assert set(found) == {"x", "queue.max", "logging.level", "tokens.a.token", "providers"}


@pytest.mark.parametrize("text", ["", '[providers.a]\ntype = "echo"\nenabled = false'])
def test_a_gateway_without_an_enabled_provider_is_useless(text: str) -> None:
    assert "config create openai:main" in problems_of(text)["providers"].hint


def test_a_secret_is_never_part_of_a_message() -> None:
    for token in ("s3cret", "s3cret s3cret", "s3cret${", "${s3cret", "${A:-s3cret${}"):
        text = str(problems_of(f'{ECHO}[tokens.a]\ntoken = "{token}"')["tokens.a.token"])
        assert "s3cret" not in text


S3CRET = "${file:s3cret}"
FROM_SECRETS = [
    (f'[server]\ndefault_provider = "{S3CRET}"', "server.default_provider", "there is no provider"),
    (f'{TOKEN}providers = ["{S3CRET}"]', "tokens.a.providers[0]", "there is no provider"),
    (f'{TOKEN}default_provider = "{S3CRET}"\n[providers.mains3cre]\ntype = "echo"\nenabled = false',
     "tokens.a.default_provider", "there is no provider"),
    (f'{TOKEN}default_provider = "{S3CRET}"\n[providers.mains3cret]\ntype = "echo"\nenabled = false',
     "tokens.a.default_provider", "is not enabled"),
    (f'[providers.b]\ntype = "echo"\nmodels = ["mains3cret", "{S3CRET}"]', "providers.b.models[1]", "a second time"),
    (f'[[providers.main.error_parsing.rules]]\nmap_to = "no_quota"\nmatch_pattern = "(?P<{S3CRET}>a)(?P={S3CRET}1)"',
     "providers.main.error_parsing.rules[0].match_pattern", "cannot be used"),
    (f'[server]\nlisten = "{S3CRET}:1"\n[auth]\nrequired = false', "auth.required", "can be reached from outside"),
    (f'[providers.b]\ntype = "openai"\nkeys = "{S3CRET}"', "providers.b.keys[0]", "is a path"),
    (f'[server.tls]\ncert = "{S3CRET}"\nkey = "/etc/passwd"', "server.tls.cert", "is a path"),
    (f'[server.tls]\nkey = "{S3CRET}"\ncert = "/etc/passwd"', "server.tls.key", "is a path"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "message"), FROM_SECRETS)
def test_nothing_that_came_out_of_a_secret_is_part_of_a_message(
    text: str, key: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "s3cret").write_text("mains3cret")
    found = problems_of(f"{text}\n{ECHO}", path=tmp_path / "config.toml")
    assert message in found[key].message
    assert "s3cre" not in "".join(map(str, found.values())).replace("providers.mains3cre", "")


@pytest.mark.parametrize(
    ("listen", "required", "on"),
    [
        ('["127.0.0.1:1", "unix:a", "fd:b", "[::1]:1"]', '"auto"', False),
        ('["127.0.0.1:1", "0.0.0.0:2"]', '"auto"', True),
        ('["127.0.0.1:1"]', "true", True),
        ('["127.0.0.1:1"]', "false", False),
        ('["10.0.0.1:1"]', "true", True),
    ],
)
def test_auth_is_on_where_it_is_required_or_a_listener_is_public(listen: str, required: str, on: bool) -> None:
    for tokens in (TOKEN, ""):  # without one, the gateway makes the first
        config = parse(f"{tokens}{ECHO}[server]\nlisten = {listen}\n[auth]\nrequired = {required}")
        assert auth_is_on(config) is on


def test_a_listener_on_any_free_port_may_be_repeated() -> None:
    assert len(parse(f'{ECHO}[server]\nlisten = ["127.0.0.1:0", "127.0.0.1:0"]').server.listen) == 2


def test_hosts_origins_and_proxies_of_every_kind_pass() -> None:
    text = (
        'allowed_hosts = ["llm.example.org", "localhost", "10.0.0.1", "[::1]", "::1"]\n'
        'cors_origins = ["*", "https://a.example:8443", "http://[::1]:3000", "chrome-extension://abc"]\n'
        'trusted_proxies = ["10.0.0.1", "10.0.0.1/8", "fd00::/8"]\n'
    )
    assert parse(f"[server]\n{text}{ECHO}").server.trusted_proxies[0] == "10.0.0.1"


RULE = f"{ECHO}[[providers.main.error_parsing.rules]]\n"
GOOD = 'match_pattern = "x"\nmap_to = "no_quota"\n'

BAD_RULES = [
    ("", "match_pattern", "is missing", 'write ".*"'),
    (GOOD + "status_code = 200", "status_code", "is no status of an error", "400 to 599"),
    (GOOD + "status_code = 600", "status_code", "must be at most 599", ""),
    (GOOD + 'error_path = "a..b"', "error_path", "has an empty step", "error.code"),
    ('match_pattern = "("\nmap_to = "no_quota"', "match_pattern", "is no regular expression", ""),
    ('match_pattern = "(a+)+"\nmap_to = "no_quota"', "match_pattern", "repeats a group", ""),
    ('match_pattern = "x"', "map_to", "is missing", "one of bad_request, no_quota, rate_limited"),
    ('match_pattern = "x"\nmap_to = "no_quotas"', "map_to", "is no status", 'did you mean "no_quota"?'),
    ('match_pattern = "x"\nmap_to = "disabled"', "map_to", "is no status", "one of"),
    (GOOD + "priorty = 1", "priorty", "unknown setting", 'did you mean "priority"?'),
]


@pytest.mark.parametrize(("text", "setting", "message", "hint"), BAD_RULES)
def test_an_error_rule_that_cannot_work_is_a_problem(text: str, setting: str, message: str, hint: str) -> None:
    problem = problems_of(RULE + text)[f"providers.main.error_parsing.rules[0].{setting}"]
    assert message in problem.message
    assert hint in problem.hint


def test_rules_are_checked_one_by_one_even_when_they_are_switched_off() -> None:
    text = (
        f'{ECHO}[providers.main.error_parsing]\nenabled = false\nrules = [{{}}, {{match_pattern = "[", map_to = "x"}}]'
    )
    rules = "providers.main.error_parsing.rules"
    assert set(problems_of(text)) == {
        f"{rules}[{index}].{setting}" for index in (0, 1) for setting in ("match_pattern", "map_to")
    }


def test_rules_are_an_array_of_tables() -> None:
    assert (
        "array of tables" in problems_of(f"{ECHO}error_parsing.rules = 7")["providers.main.error_parsing.rules"].message
    )
    problem = problems_of(f"{ECHO}error_parsing.rules = [7]")["providers.main.error_parsing.rules[0]"]
    assert (problem.message, problem.hint) == (
        "must be a table, not a whole number", "write [[providers.main.error_parsing.rules]]",
    )  # fmt: skip


def test_a_good_rule_passes_in_its_place() -> None:
    config = parse(f'{RULE}{GOOD}[[providers.main.error_parsing.rules]]\n{GOOD}priority = 2\nerror_path = "$"')
    first, second = config.providers["main"].error_parsing.rules
    assert (first.priority, first.error_path, first.status_code) == (0, "error.message", 0)
    assert (second.priority, second.error_path) == (2, "$")


@pytest.mark.parametrize(
    ("listen", "url", "back"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1", True),
        ("127.0.0.1:8000", "http://localhost:8000/v1", True),
        ("0.0.0.0:80", "http://localhost/v1", True),
        ("[::]:443", "https://[::1]", True),
        ("127.0.0.1:8000", "http://127.0.0.1:8001/v1", False),
        ("10.0.0.1:8000", "http://127.0.0.1:8000/v1", False),
        ("unix:/run/a", "http://127.0.0.1:8000/v1", False),
        ("127.0.0.1:8000", "http://example.org:8000/v1", False),
    ],
)
def test_a_provider_that_is_this_gateway_itself_is_a_problem(listen: str, url: str, back: bool) -> None:
    text = f'{TOKEN}[server]\nlisten = ["{listen}"]\n[providers.a]\ntype = "openai"\nbase_url = "{url}"\n'
    if back:
        assert "leads back to this gateway" in problems_of(text)["providers.a.base_url"].message
        assert parse(text + "enabled = false\n" + ECHO)
    else:
        assert parse(text)


def test_a_socks_proxy_without_its_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[providers.b]\ntype = "echo"\n[providers.b.proxy]\nmode = "static"\nurl = "socks5://h:1"\n'
    parse(f"{text}{ECHO}")
    monkeypatch.setitem(sys.modules, "python_socks", None)
    found = problems_of(f"{text}{ECHO}")["providers.b.proxy.url"]
    assert "pip install 'llmgateway[socks]'" in found.hint


def test_a_mistake_in_a_proxys_url_does_not_show_it() -> None:
    text = '[providers.b]\ntype = "echo"\n[providers.b.proxy]\nmode = "static"\nurl = "http://ann:s3cret@h"\n'
    assert "s3cret" not in str(problems_of(f"{text}{ECHO}"))
