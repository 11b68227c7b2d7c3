"""Writing configuration as text: new files, further providers, the commented example.

Everything comes from the fields of `model.py`. Text is only ever appended to or cut from, so that an operator's
comments and layout stay; every result has been parsed. Nothing here touches a disk (see `files.py`).

`python3 -m gateway.config.create > config.example.toml` renews the example.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin

from gateway.config.accounts import PriceConfig
from gateway.config.edit import cut
from gateway.config.load import parse_toml
from gateway.config.model import Config, TokenConfig
from gateway.config.problems import did_you_mean
from gateway.config.provider import ErrorRule, ProviderConfig
from gateway.config.routes import RouteConfig, TargetConfig
from gateway.config.setting import Setting, settings_of
from gateway.config.tomltext import key_path, scalar
from gateway.config.validate import NAME, ProviderFacts
from gateway.errors import ConfigError, GatewayError, Problem
from gateway.secret import Secret

WIDTH = 110

EXAMPLE_RULE = ErrorRule(429, "error.code", "^daily_", "no_quota", 10, "a day's allowance is used up")
"""Rules have no default worth showing: this one stays a comment even where everything is written out."""

EXAMPLE_ROUTE = RouteConfig((TargetConfig("main", "gpt-5.1"), TargetConfig("main", "gpt-5.1-mini", 2.0)))

EXAMPLES = ("tokens.alice", "prices.my-model", "routes.fast")
"""Tables that have names: comments, for the same reason."""

INTRODUCTION = """\
# The configuration of llmgateway: every setting, its default and what it does.
#
# Copy it to config.toml, or let `llmgateway config create openai:main` write the few lines that are needed.
# A line that begins with "#name" shows a default; take the # away to change it. Times are seconds.
#
# In any string: ${VAR}, ${VAR:-default}, ${file:/path}, ${credential:NAME} (systemd), and $${ for a literal ${.
# A variable LLMGATEWAY__TABLE__KEY=value in the environment overrides a setting: LLMGATEWAY__QUEUE__TIMEOUT=5.
# Relative paths start at this file's folder.
"""


def parse_specs(specs: Sequence[str], provider_types: Mapping[str, ProviderFacts]) -> list[tuple[str, str]]:
    """(type, name) of each "TYPE:NAME". Raises ConfigError with a problem for each that is none."""
    parsed: list[tuple[str, str]] = []
    problems = []
    for spec in specs:
        kind, _, name = spec.partition(":")
        if not NAME.fullmatch(name):
            problems.append(
                Problem(spec, "", "is not TYPE:NAME", "such as openai:main; names have letters, digits and . _ -")
            )
        elif kind not in provider_types:
            hint = "; ".join(filter(None, (did_you_mean(kind, provider_types), "all of them: llmgateway help config")))
            problems.append(Problem(spec, "", f'there is no provider type "{kind}"', hint))
        elif name in [known for _, known in parsed]:
            problems.append(Problem(spec, "", f'"{name}" is given twice'))
        parsed.append((kind, name))
    if problems:
        raise ConfigError(problems)
    return parsed


def create_config(
    text: str | None,
    specs: Sequence[str],
    full: bool,
    provider_types: Mapping[str, ProviderFacts],
    path: Path = Path("config.toml"),
) -> str:
    """`text` (None: a new file) with a table for each "TYPE:NAME" appended; `full`: with every setting.

    `path` is for messages. Raises ConfigError for a wrong spec or text, GatewayError for a name that is taken.
    """
    wanted = parse_specs(specs, provider_types)
    providers = parse_toml(text or "", path).get("providers", {})
    for _, name in wanted:
        if isinstance(providers, dict) and name in providers:
            raise GatewayError(
                f"{path}: there is a provider {name} already",
                hint=f"choose another name, or `llmgateway config remove {name}` first",
            )
    tables = _general_tables(commented=False) if full and text is None else []
    for kind, name in wanted:
        provider = _new_provider(kind, name, provider_types[kind])
        tables.append(_provider_table(provider, commented=False) if full else _minimum(provider, provider_types[kind]))
    before = text or ""
    if before:
        before += "\n" if before.endswith("\n") else "\n\n"
    result = before + "\n".join(tables)
    try:
        parse_toml(result, path)["providers"].keys()
    except (ConfigError, AttributeError) as exc:
        raise ConfigError(
            [Problem(str(path), "providers", "nothing can be appended to it", "write each as a table [providers.NAME]")]
        ) from exc
    return result


def remove_provider(text: str, name: str, path: Path = Path("config.toml")) -> str:
    """`text` without [providers.NAME] and its sub-tables, everything else byte for byte as it was.

    Raises ConfigError when it cannot be parsed or edited, GatewayError when there is no such provider.
    """
    expected = parse_toml(text, path)
    providers = expected.get("providers", {})
    if not isinstance(providers, dict) or name not in providers:
        known = providers if isinstance(providers, dict) else ()
        raise GatewayError(f"{path}: there is no provider {name}", hint=did_you_mean(name, known))
    del providers[name]
    result = cut(text, ("providers", name))
    parsed = parse_toml(result, path)
    if {"providers": {}} | parsed != expected:
        raise ConfigError(
            [
                Problem(
                    str(path),
                    key_path("providers", name),
                    "cannot be cut out",
                    "it is written inline: remove it by hand",
                )
            ]
        )
    return result


def example_config() -> str:
    """config.example.toml: one provider, every other setting as a comment with its default."""
    provider = ProviderConfig(name="main", type="openai", keys=("keys/main.txt",))
    tables = [INTRODUCTION, *_general_tables(commented=True), _provider_table(provider, commented=True)]
    return "\n".join(tables)


def _new_provider(kind: str, name: str, facts: ProviderFacts) -> ProviderConfig:
    keys = (f"keys/{name}.txt",) if facts.needs_keys else ()
    return ProviderConfig(name=name, type=kind, keys=keys, base_url=facts.base_url)


def _minimum(provider: ProviderConfig, facts: ProviderFacts) -> str:
    """The settings without which a provider could not work."""
    lines = [f"[{key_path('providers', provider.name)}]", f"type = {scalar(provider.type)}"]
    if facts.needs_keys:
        lines.append(f"keys = {scalar(provider.keys[0])}")
    if not facts.base_url and (facts.needs_keys or facts.example):
        lines.append(f'base_url = ""  # to be filled in{_such_as(facts)}')
    return "\n".join(lines) + "\n"


def _such_as(facts: ProviderFacts) -> str:
    return f": {facts.example}, say" if facts.example else ": this type has no default"


def _general_tables(*, commented: bool) -> list[str]:
    """Every table but the providers, with an example of those that have names."""
    tables = []
    for setting in settings_of(Config).values():
        if setting.name == "tokens":
            token = TokenConfig(token=Secret("${file:alice.token}"), user="alice")
            # An API token has no default: this stays a comment even where everything is written out.
            lines = _table_lines(token, EXAMPLES[0], commented=True, title=setting.rules["help"])
            tables.append("\n".join(["#" + lines[0], *lines[1:]]) + "\n")
        elif setting.name == "prices":
            price = PriceConfig(input=Decimal("2.50"), output=Decimal("10"))
            lines = _table_lines(price, EXAMPLES[1], commented=True, title=setting.rules["help"])
            tables.append("\n".join(["#" + lines[0], *lines[1:]]) + "\n")
        elif setting.name == "routes":
            lines = _table_lines(EXAMPLE_ROUTE, EXAMPLES[2], commented=True, title=setting.rules["help"])
            tables.append("\n".join(["#" + lines[0], *lines[1:]]) + "\n")
        elif setting.name != "providers":
            default = setting.type()
            tables.append(_table_text(default, setting.name, commented=commented, title=setting.rules["help"]))
    return tables


def _provider_table(provider: ProviderConfig, *, commented: bool) -> str:
    title = "where answers come from"
    return _table_text(provider, key_path("providers", provider.name), commented=commented, title=title)


def _table_text(table: Any, key: str, *, commented: bool, title: str) -> str:
    """A table with its sub-tables, a blank line between."""
    texts = ["\n".join(_table_lines(table, key, commented=commented, title=title)) + "\n"]
    for setting in settings_of(table).values():
        if _is_table(setting):
            value, here, title = getattr(table, setting.field), f"{key}.{setting.name}", setting.rules["help"]
            if is_dataclass(value):
                texts.append(_table_text(value, here, commented=commented, title=title))
            elif _is_array(setting):
                lines = _table_lines(EXAMPLE_RULE, f"[{here}]", commented=True, title=title)
                texts.append("\n".join("#" + line if line[0] != "#" else line for line in lines) + "\n")
            else:
                texts.append(f"[{here}]  # {title}\n")
    return "\n".join(texts)


def _is_table(setting: Setting) -> bool:
    inner = is_dataclass(setting.type) or _is_array(setting)
    return get_origin(setting.type) is dict or (inner and not setting.rules["inline"])


def _is_array(setting: Setting) -> bool:
    """Whether it is an array of tables."""
    return get_origin(setting.type) is tuple and is_dataclass(get_args(setting.type)[0])


def _table_lines(table: Any, key: str, *, commented: bool, title: str) -> list[str]:
    """Header and settings, each below its help. Commented: but for what differs from the default."""
    default = type(table)()
    lines = [f"[{key}]  # {title}"]
    for setting in settings_of(table).values():
        if _is_table(setting):
            continue
        value = getattr(table, setting.field)
        if value is None:
            continue
        lines += textwrap.wrap(
            setting.rules["help"], WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False
        )
        mark = "#" if commented and (value == getattr(default, setting.field) or key in EXAMPLES) else ""
        lines.append(f"{mark}{setting.name} = {_value(value)}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, Secret):
        return scalar(value.reveal())  # the example's reference, never a real one
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if is_dataclass(value):
        return (
            "{ "
            + ", ".join(f"{each.name} = {_value(getattr(value, each.field))}" for each in settings_of(value).values())
            + " }"
        )
    return scalar(value)


if __name__ == "__main__":
    import sys

    sys.stdout.write(example_config())
