"""What must be true of a configuration beyond the type and range of each setting.

Pure but for what `serverside.py` looks at on the disk. `validate` gets a configuration
that `load` has completed (absolute paths, base URLs by type) and files every problem; the table of provider types comes
as a value, and so do the places of admin sockets.
Settings that already have a problem hold their default and draw no second one. No message quotes a masked value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway import jsonlib
from gateway.config.accounts import USER_NAME_LIMIT, is_user_name
from gateway.config.accountside import check_accounts
from gateway.config.listen import is_host, is_loopback_listener, is_network, parse_listen
from gateway.config.model import Config, TokenConfig
from gateway.config.problems import Problems, did_you_mean, items
from gateway.config.provider import ErrorRule, ProviderConfig, ProxyConfig
from gateway.config.proxyurl import SOCKS_HINT, ProxyUrl, socks_installed
from gateway.config.routeside import check_routes
from gateway.config.rules import compile_pattern, parse_path
from gateway.config.serverside import check_path, check_server
from gateway.config.tomltext import key_path, quoted
from gateway.quick import dataclass

__all__ = ["ProviderFacts", "auth_is_on", "is_loopback_listener", "validate"]

NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")  # also the name of a folder
BASE_URL = re.compile(
    r"https?://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/\[\]:@?#\s]+)(:(?P<port>[0-9]{1,5}))?(/[!-~]*)?", re.IGNORECASE
)
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2: token
HEADER_VALUE = re.compile(r"([!-~]([ -~\t]*[!-~])?)?")  # RFC 9110, section 5.5, without obs-text
TOKEN = re.compile(r"[!-~]+")  # what a header can carry as one word
API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?|v1|preview|latest")  # Azure's
MODEL = re.compile(r"[^\s=]+(=[^\s]+)?")
OWN_HEADERS = frozenset(
    {
        "host", "content-length", "content-type", "accept-encoding", "authorization",
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
        "expect", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""What is decided per request, and what concerns the connection alone (RFC 9110, sections 7.6.1 and 10.1.1). A
compressed answer could be searched neither for errors nor for usage, hence Accept-Encoding."""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
MIN_TOKEN = 8
"""Characters of an API token: shorter ones are guessed, and every wrong guess is cheap."""


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """What configuration must know of a provider type: its base URL ("": none by default; then a type that needs
    keys requires one in the file, such as `example`), whether it needs keys, the `outcomes` that an error rule may map
    to, the dialects it speaks, the headers its key travels in, and whether its API has versions to choose from."""

    base_url: str
    needs_keys: bool
    outcomes: frozenset[str] = frozenset()
    example: str = ""
    dialects: tuple[str, ...] = ()
    auth_headers: frozenset[str] = frozenset()
    versioned: bool = False


def auth_is_on(config: Config) -> bool:
    """Whether clients must present an API token; "auto" means: once any listener is reachable from outside."""
    if config.auth.required != "auto":
        return config.auth.required == "true"
    return not all(map(is_loopback_listener, config.server.listen))


def validate(
    config: Config,
    provider_types: Mapping[str, ProviderFacts],
    problems: Problems,
    admin_sockets: Sequence[Path] = (),
) -> None:
    """File everything that is wrong across the settings of `config`. `admin_sockets`: where no client may listen."""
    check_server(config, admin_sockets, problems)
    _check_store(config.store.url, problems)
    _check_auth(config, problems)
    _check_tokens(config, problems)
    check_accounts(config, auth_is_on(config), provider_types, problems)
    _check_providers(config, provider_types, problems)
    check_routes(config, problems)
    _check_inventory(config, problems)
    _check_default_provider(config, config.server.default_provider, "server.default_provider", problems)


def _check_store(url: str, problems: Problems) -> None:
    scheme, _, rest = url.partition(":")
    if scheme in ("postgresql", "postgres"):
        problems.add("store.url", "PostgreSQL is not in this version", 'write "sqlite:FILE"')
    elif scheme != "sqlite" or not rest or rest.startswith("//"):
        problems.add(
            "store.url", "is not a database of a known kind", 'write "sqlite:FILE", without slashes before FILE'
        )


def _check_auth(config: Config, problems: Problems) -> None:
    listeners = list(items("server.listen", config.server.listen))
    public = [config.shown(key, spec) for key, spec in listeners if not is_loopback_listener(spec)]
    if any(problems.has(key) for key, _ in listeners):
        return  # whether an address that makes no sense is public makes none either
    if config.auth.required == "false" and public:
        problems.add(
            "auth.required",
            f"is false while {public[0]} can be reached from outside",
            "listen on 127.0.0.1, or leave it at auto",
        )


def _check_tokens(config: Config, problems: Problems) -> None:
    owners: dict[bytes, str] = {}
    for name, token in config.tokens.items():
        key = key_path("tokens", name)
        if problems.has(key):
            continue
        _check_name(name, key, problems)
        _check_token(token, f"{key}.token", owners, problems)
        if token.user and not is_user_name(token.user):
            hint = f"use up to {USER_NAME_LIMIT} printable characters, without spaces around them"
            problems.add(f"{key}.user", "is no name of a user", hint)
        if not token.scopes:
            problems.add(f"{key}.scopes", "allows nothing", 'write scopes = ["use"]')
        for item, provider in items(f"{key}.providers", token.providers):
            if provider not in config.providers:
                _add_no_provider(config, provider, item, problems)
        default = token.default_provider
        _check_default_provider(config, default, f"{key}.default_provider", problems)
        if default and token.providers and default not in token.providers:
            problems.add(f"{key}.default_provider", f'is not among the providers of "{name}"')


def _check_token(token: TokenConfig, key: str, owners: dict[bytes, str], problems: Problems) -> None:
    if problems.has(key):
        return
    text = token.token.reveal()  # to look at its form; nothing of it goes into a message
    if not text:
        problems.add(key, "is missing", 'write token = "${file:/path/to/token}"')
    elif len(text) < MIN_TOKEN:
        problems.add(key, f"is shorter than {MIN_TOKEN} characters", "`openssl rand -hex 24` makes a good one")
    elif not TOKEN.fullmatch(text):
        problems.add(key, "has characters that no header can carry", "use letters, digits and -._~ only")
    else:
        other = owners.setdefault(token.token.digest, key)
        if other != key:
            problems.add(key, f"is the same as {other}", "give each its own, so that one can be revoked")


def _check_name(name: str, key: str, problems: Problems) -> None:
    if not NAME.fullmatch(name):
        problems.add(key, "is no usable name", "use up to 100 letters, digits and . _ -")


def _check_probe(provider: ProviderConfig, key: str, problems: Problems) -> None:
    probe = provider.probe
    if probe.kind == "request" and not (probe.model or provider.default_model or provider.models):
        problems.add(f"{key}.probe.model", "a probe by request needs a model", 'write model = "gpt-4.1-nano", say')
    if probe.payload:
        try:
            payload = jsonlib.loads(probe.payload)
        except ValueError:
            payload = None
        if not isinstance(payload, dict):
            problems.add(f"{key}.probe.payload", "must be a JSON object", "write payload = '{\"max_tokens\": 1}', say")


def _check_inventory(config: Config, problems: Problems) -> None:
    """A key file must not be taken for an inventory, which is written over and removed."""
    if not config.inventory.path:
        problems.add("inventory.path", "names no folder", 'write path = "inventory"')
        return
    folder = Path(config.inventory.path)
    for provider in config.providers.values():
        for keys in provider.keys:
            if folder in (Path(keys), *Path(keys).parents):
                problems.add(
                    "inventory.path", f"is where the keys of {quoted(provider.name)} are", "choose another folder"
                )


def _check_default_provider(config: Config, name: str, key: str, problems: Problems) -> None:
    if not name:
        return
    provider = config.providers.get(name)
    if provider is None:
        _add_no_provider(config, name, key, problems)
    elif not provider.enabled:
        hint = "" if config.is_masked(key) else f"set {key_path('providers', name)}.enabled = true"
        problems.add(key, f"the provider {quoted(config.shown(key, name))} is not enabled", hint)


def _add_no_provider(config: Config, name: str, key: str, problems: Problems) -> None:
    hint = "" if config.is_masked(key) else did_you_mean(name, config.providers)
    problems.add(key, f"there is no provider {quoted(config.shown(key, name))}", hint)


def _check_providers(config: Config, provider_types: Mapping[str, ProviderFacts], problems: Problems) -> None:
    if not any(provider.enabled for provider in config.providers.values()):
        missing = "no provider is enabled" if config.providers else "there is no provider"
        problems.add("providers", missing, "`llmgateway config create openai:main` adds one")
    for name, provider in config.providers.items():
        key = key_path("providers", name)
        if problems.has(key):
            continue
        _check_name(name, key, problems)
        _check_type(provider, key, provider_types, problems)
        _check_models(config, provider, key, problems)
        _check_dialects(config, provider, key, provider_types, problems)
        _check_headers(provider, f"{key}.headers", provider_types, problems)
        if provider.enabled and provider.base_url and _leads_back(provider.base_url, config.server.listen):
            problems.add(f"{key}.base_url", "leads back to this gateway", "change it, or server.listen")
        _check_rules(config, provider, f"{key}.error_parsing.rules", provider_types, problems)
        _check_proxy(provider.proxy, f"{key}.proxy", problems)
        for item, path in items(f"{key}.keys", provider.keys):
            check_path(config, item, problems)
            if not path:
                problems.add(item, "names no file", f'write keys = "keys/{name}.txt"')
        _check_probe(provider, key, problems)


def _check_type(
    provider: ProviderConfig, key: str, provider_types: Mapping[str, ProviderFacts], problems: Problems
) -> None:
    facts = provider_types.get(provider.type)
    if facts is not None:
        _check_base_url(provider.base_url, f"{key}.base_url", facts, problems)
        return
    known = ", ".join(f'"{each}"' for each in provider_types)
    if not provider.type:
        problems.add(f"{key}.type", "is missing", f"one of {known}")
    else:
        hint = did_you_mean(provider.type[:100], provider_types) or f"one of {known}"
        problems.add(f"{key}.type", "is no known type of provider", hint)
    if provider.base_url:
        _check_base_url(provider.base_url, f"{key}.base_url", None, problems)


def _check_base_url(url: str, key: str, facts: ProviderFacts | None, problems: Problems) -> None:
    """The URL is not quoted: one with a password in it is among the mistakes."""
    if not url:
        if facts is not None and (facts.needs_keys or facts.example):
            hint = f'write "{facts.example}", say' if facts.example else "this type of provider has no default"
            problems.add(key, "is missing", hint)
        return
    match = BASE_URL.fullmatch(url)
    authority = url.partition("://")[2].partition("/")[0]
    if "@" in authority:
        problems.add(key, "must not contain a user or password", "keys belong into the key file")
    elif "?" in url or "#" in url:
        problems.add(key, "must not have a query or fragment", "end it with the path, such as https://host/v1")
    elif match is None or int(match["port"] or 0) > 65535 or not _is_url_host(match["host"]):
        problems.add(
            key, "is not an http:// or https:// URL", "write https://host/path, such as https://api.openai.com/v1"
        )


def _is_url_host(host: str) -> bool:
    return is_network(host[1:-1]) if host.startswith("[") else is_host(host)


def _leads_back(url: str, listen: tuple[str, ...]) -> bool:
    """Whether a URL is a listener of our own on this machine: requests would go round until nothing is left.

    vLLM's default port is ours, too.
    """
    match = BASE_URL.fullmatch(url)
    if match is None or match["host"].lower() not in LOOPBACK:
        return False
    port = int(match["port"] or (443 if url.lower().startswith("https:") else 80))
    return any(_port_here(spec) == port for spec in listen)


def _port_here(spec: str) -> int:
    """The port of a TCP listener that loopback reaches; 0: none."""
    try:
        listener = parse_listen(spec)
    except ValueError:
        return 0
    reached = listener.kind == "tcp" and listener.host in ("0.0.0.0", "::", "", *LOOPBACK)  # noqa: S104 - compared
    return listener.port if reached else 0


def _check_models(config: Config, provider: ProviderConfig, key: str, problems: Problems) -> None:
    seen = set()
    for item, model in items(f"{key}.models", provider.models):
        if not MODEL.fullmatch(model):
            problems.add(item, "is not a model", 'write "name" or "name=upstream-name"')
        name = model.partition("=")[0]
        if name in seen:
            problems.add(item, f"lists the model {quoted(config.shown(item, name))} a second time")
        seen.add(name)


def _check_proxy(proxy: ProxyConfig, key: str, problems: Problems) -> None:
    if problems.has(f"{key}.mode"):
        return
    url = proxy.url.reveal()  # to look at its form; no message has anything of it
    if url and proxy.mode != "static":
        problems.add(f"{key}.url", f'is not used in mode "{proxy.mode}"', 'set mode = "static", or take it out')
    if proxy.file and not proxy.listed:
        problems.add(f"{key}.file", f'is not used in mode "{proxy.mode}"', 'set mode = "pool" or "sticky"')
    if proxy.mode != "static" or problems.has(f"{key}.url"):
        return
    if not url:
        problems.add(f"{key}.url", "is missing", 'write url = "${file:/path/to/url}", or choose another mode')
        return
    try:
        parsed = ProxyUrl.parse(url)
    except ValueError as exc:
        problems.add(f"{key}.url", str(exc), 'write "http://user:password@host:port"')
        return
    if parsed.socks and not socks_installed():
        problems.add(f"{key}.url", "SOCKS proxies need python-socks", SOCKS_HINT)


def _check_dialects(
    config: Config,
    provider: ProviderConfig,
    key: str,
    provider_types: Mapping[str, ProviderFacts],
    problems: Problems,
) -> None:
    """Which of its type's dialects a provider is asked in, and in which version of its API."""
    facts = provider_types.get(provider.type)
    if facts is None:
        return
    for item, dialect in items(f"{key}.dialects", provider.dialects):
        if dialect not in facts.dialects:
            known = ", ".join(f'"{each}"' for each in facts.dialects)
            hint = did_you_mean(dialect[:40], facts.dialects) or f"one of {known}"
            problems.add(
                item, f'{quoted(config.shown(item, dialect))} is no dialect of the type "{provider.type}"', hint
            )
    version = provider.api_version
    if version and not facts.versioned:
        problems.add(f"{key}.api_version", f'is not for the type "{provider.type}"', "take it out")
    elif version and not API_VERSION.fullmatch(version):
        problems.add(f"{key}.api_version", "is no version", 'write "2024-10-21", say, or leave it out for the v1 API')


def _check_headers(
    provider: ProviderConfig, key: str, provider_types: Mapping[str, ProviderFacts], problems: Problems
) -> None:
    facts = provider_types.get(provider.type)
    keys = {"authorization"} if facts is None else facts.auth_headers | {"authorization"}
    seen = set()
    for name, value in provider.headers.items():
        here = f"{key}.{key_path(name)}"
        if not HEADER_NAME.fullmatch(name):
            problems.add(here, "is no header name")
        elif name.lower() in OWN_HEADERS | keys:
            hint = "keys belong into the key file" if name.lower() in keys else ""
            problems.add(here, "is a header that the gateway sets itself", hint)
        elif name.lower() in seen:
            problems.add(here, "is given twice: upper and lower case make no difference")
        elif not HEADER_VALUE.fullmatch(value):
            problems.add(here, "has a value that no header can carry", "use printable ASCII on one line")
        seen.add(name.lower())


def _check_rules(
    config: Config, provider: ProviderConfig, key: str, provider_types: Mapping[str, ProviderFacts], problems: Problems
) -> None:
    """Rules that are switched off are checked too: they are meant to be switched on again."""
    facts = provider_types.get(provider.type)
    for index, rule in enumerate(provider.error_parsing.rules):
        here = f"{key}[{index}]"
        if problems.has(here):
            continue
        if 0 < rule.status_code < 400:
            problems.add(f"{here}.status_code", "is no status of an error", "write one from 400 to 599, or 0 for any")
        _check_rule_texts(config, rule, here, problems)
        if facts is not None and rule.map_to not in facts.outcomes:
            hint = did_you_mean(rule.map_to[:100], facts.outcomes) or "one of " + ", ".join(sorted(facts.outcomes))
            what = "is no status that a rule can map to" if rule.map_to else "is missing"
            problems.add(f"{here}.map_to", what, hint)


def _check_rule_texts(config: Config, rule: ErrorRule, key: str, problems: Problems) -> None:
    if not rule.match_pattern:
        problems.add(f"{key}.match_pattern", "is missing", 'write ".*" for whatever stands there')
    try:
        parse_path(rule.error_path)
    except ValueError as exc:
        problems.add(
            f"{key}.error_path", str(exc), 'write "error.code", "error.details.0.reason", or "$" for the raw body'
        )
    try:
        compile_pattern(rule.match_pattern)
    except ValueError as exc:
        what = "cannot be used" if config.is_masked(f"{key}.match_pattern") else str(exc)  # which may quote of it
        problems.add(f"{key}.match_pattern", what)
