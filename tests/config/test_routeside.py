"""What [routes.NAME] must not say: each problem with its setting and its hint."""

from __future__ import annotations

import pytest

from gateway.config.routes import CAUSES, STRATEGIES, USUAL_CAUSES, RouteConfig, TargetConfig
from gateway.config.routeside import NAME_LIMIT, TARGETS_LIMIT
from tests.config.facts import ECHO, parse, problems_of

OFF = '[providers.off]\ntype = "echo"\nenabled = false\n'
ONE = 'targets = [{ provider = "main", model = "m" }]'


def route(text: str = ONE, name: str = "fast") -> str:
    return f"{ECHO}{OFF}[routes.{name}]\n{text}\n"


MANY = ", ".join(f'{{ provider = "main", model = "m{number}" }}' for number in range(TARGETS_LIMIT + 1))

BAD = [
    (route(""), "routes.fast.targets", "names no target", 'targets = [{ provider = "main"'),
    (route("targets = []"), "routes.fast.targets", "names no target", 'targets = [{ provider = "main"'),
    (route("targets = 3"), "routes.fast.targets", "must be an array of tables", "[[routes.fast.targets]]"),
    (route(f"targets = [{MANY}]"), "routes.fast.targets", f"more than {TARGETS_LIMIT} targets", ""),
    (route('targets = ["main/m"]'), "routes.fast.targets[0]", "must be a table", ""),
    (route('targets = [{ model = "m" }]'), "routes.fast.targets[0].provider", "is missing", 'provider = "main"'),
    (route('targets = [{ provider = "mian" }]'), "routes.fast.targets[0].provider", 'no provider "mian"',
     'did you mean "main"?'),
    (route('targets = [{ provider = "main" }, { provider = "" }]'), "routes.fast.targets[1].provider", "is missing",
     "write"),
    (route('targets = [{ provider = "main", name = "m" }]'), "routes.fast.targets[0].name", "unknown setting", ""),
    (route('targets = [{ provider = "main", model = 5 }]'), "routes.fast.targets[0].model", "must be a string", ""),
    (route('targets = [{ provider = "main", weight = 0 }]'), "routes.fast.targets[0].weight", "more than 0", ""),
    (route('targets = [{ provider = "main", weight = -1 }]'), "routes.fast.targets[0].weight", "more than 0", ""),
    (route('targets = [{ provider = "main", weight = 1e9 }]'), "routes.fast.targets[0].weight", "at most", ""),
    (route('targets = [{ provider = "main", weight = nan }]'), "routes.fast.targets[0].weight", "finite", ""),
    (route('targets = [{ provider = "main", model = "m" }, { provider = "main", model = "m", weight = 2 }]'),
     "routes.fast.targets[1]", "same as an earlier one", "more weight"),
    (route('targets = [{ provider = "main" }, { provider = "main", model = "fast" }]'),
     "routes.fast.targets[1]", "same as an earlier one", "more weight"),
    (route('targets = [{ provider = "off" }]'), "routes.fast.targets", "no provider of it is enabled", ""),
    (route(f'{ONE}\nstrategy = "random"'), "routes.fast.strategy", "must be one of", ""),
    (route(f'{ONE}\nfallback_on = ["error"]'), "routes.fast.fallback_on[0]", "must be one of", ""),
    (route(f'{ONE}\nsticky = "key"'), "routes.fast.sticky", "must be one of", ""),
    (route(f"{ONE}\nweight = 3"), "routes.fast.weight", "unknown setting", ""),
    (route(name='""'), 'routes.""', "no usable name", f"up to {NAME_LIMIT}"),
    (route(name='" fast"'), 'routes." fast"', "no usable name", "printable"),
    (route(name=r'"fa\nst"'), r'routes."fa\nst"', "no usable name", "printable"),
    (route(name=f'"{"x" * (NAME_LIMIT + 1)}"'), f"routes.{'x' * (NAME_LIMIT + 1)}", "no usable name", ""),
    (f"routes = 3\n{ECHO}", "routes", "must be a table", "[routes.NAME]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "message", "hint"), BAD, ids=[f"{key[:40]}-{m[:20]}" for _, key, m, _ in BAD])
def test_what_a_route_must_not_say(text: str, key: str, message: str, hint: str) -> None:
    problems = problems_of(text)
    assert list(problems) == [key]
    assert message in problems[key].message
    assert hint in problems[key].hint


def test_all_problems_of_all_routes_are_told_at_once() -> None:
    text = route('targets = [{ provider = "one" }, { provider = "two" }]') + "[routes.slow]\n"
    assert set(problems_of(text)) == {
        "routes.fast.targets[0].provider",
        "routes.fast.targets[1].provider",
        "routes.slow.targets",
    }


def test_a_route_has_usual_settings() -> None:
    config = parse(route())
    assert config.routes == {"fast": RouteConfig((TargetConfig("main", "m", 1.0),), "priority", USUAL_CAUSES, "none")}


@pytest.mark.parametrize("name", ["fast", '"org/model"', '"modèle rapide"', f'"{"x" * NAME_LIMIT}"', '"gpt-4o:free"'])
def test_a_route_may_have_any_printable_name(name: str) -> None:
    assert len(parse(route(name=name)).routes) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_and_cause_can_be_said(strategy: str) -> None:
    causes = ", ".join(f'"{cause}"' for cause in CAUSES)
    config = parse(route(f'{ONE}\nstrategy = "{strategy}"\nfallback_on = [{causes}]\nsticky = "session"'))
    assert config.routes["fast"].fallback_on == CAUSES


def test_some_of_its_providers_may_be_disabled_and_one_be_asked_for_several_models() -> None:
    text = route('targets = [{ provider = "off" }, { provider = "main" }, { provider = "main", model = "n" }]')
    assert [target.model for target in parse(text).routes["fast"].targets] == ["", "", "n"]
