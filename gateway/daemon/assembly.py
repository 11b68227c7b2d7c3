"""Everything that a configuration decides, put together over what outlives it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from gateway.api.admin import AdminSurface
from gateway.api.admin_accounts import AccountAdmin
from gateway.api.admin_cache import CacheAdmin
from gateway.api.admin_money import MoneyAdmin
from gateway.api.admin_proxies import ProxyAdmin
from gateway.api.admin_routes import RouteAdmin
from gateway.api.anthropic import AnthropicSurface
from gateway.api.billing import BillingSurface
from gateway.api.gemini import GeminiSurface
from gateway.api.guard import Guard
from gateway.api.health import HealthSurface
from gateway.api.models import ModelsSurface
from gateway.api.openai import OpenAISurface
from gateway.api.passthrough import PassthroughSurface
from gateway.api.router import Router
from gateway.conductor.attempts import Attempts
from gateway.conductor.auth import Authenticator
from gateway.conductor.conductor import Conductor
from gateway.conductor.jwt_tokens import jwt_verifier
from gateway.conductor.models import ModelResolver
from gateway.conductor.routes import make_routes
from gateway.conductor.translator import Translator
from gateway.config.model import Config, ServerConfig
from gateway.config.validate import auth_is_on
from gateway.daemon.holdings import Holdings
from gateway.quick import dataclass
from gateway.upstream.catalog import Catalog
from gateway.upstream.control import KeeperControl
from gateway.upstream.provider import Provider


@dataclass(frozen=True, slots=True)
class Assembly:
    """Immutable; a reload makes another."""

    config: Config
    providers: Mapping[str, Provider]
    catalog: Catalog
    router: Router
    admin_router: Router


def assemble(config: Config, holdings: Holdings, control: KeeperControl, draining: Callable[[], bool]) -> Assembly:
    """`holdings` are arranged for `config` already, and stay as they are."""
    providers = {
        name: Provider(provider, holdings.pools.of[name], holdings.proxy_pools.of(provider))
        for name, provider in config.providers.items()
        if provider.enabled
    }
    exchange = holdings.exchange
    catalog = Catalog(providers, exchange, holdings.clock)
    routes = make_routes(config.routes, providers, holdings.route_memory, holdings.rng)
    resolver = ModelResolver(providers, catalog, config.server.default_provider, routes)
    attempts = Attempts(exchange, config.queue, holdings.rng, holdings.note_attempt)
    translator = Translator(config.translation.on_loss, holdings.clock, lambda: os.urandom(12).hex())
    billing = None
    if holdings.prices is not None:
        from gateway.conductor.billing import Billing  # so that a start without billing does without

        billing = Billing(config.billing, holdings.prices, holdings.ledger, holdings.clock)
    conductor = Conductor(
        resolver,
        translator,
        attempts,
        holdings.owners,
        holdings.admission,
        billing,
        holdings.cache,
        holdings.note_fallback,
    )
    models = ModelsSurface(catalog, routes)
    openai, anthropic, gemini = OpenAISurface(conductor), AnthropicSurface(conductor), GeminiSurface(conductor, models)
    passthrough = PassthroughSurface(conductor)
    on = config.billing.enabled
    balances = holdings.books.balances if on and config.metrics.user_balance else None
    health = HealthSurface(providers, holdings.database, holdings.metrics, draining, balances)
    accounts = BillingSurface(holdings.books, holdings.ledger.default_balance if on else None, holdings.clock)
    admin = _admin_surface(config, holdings, providers, RouteAdmin(routes, holdings.clock), control)
    auth_on = auth_is_on(config)
    jwt = jwt_verifier(config.auth.jwt, holdings.client, holdings.log, holdings.clock)
    authenticator = Authenticator(config, auth_on, holdings.accounts, jwt, holdings.clock)

    def router(guard: Guard, authenticator: Authenticator) -> Router:
        return Router(
            openai,
            anthropic,
            gemini,
            models,
            passthrough,
            health,
            accounts,
            admin,
            guard,
            authenticator,
            holdings.log,
            holdings.metrics,
            holdings.aftermath,
            log_requests=config.logging.requests,
            public_metrics=config.metrics.public,
        )

    return Assembly(
        config,
        providers,
        catalog,
        router(Guard(config.server, auth_on=auth_on), authenticator),
        router(Guard(ServerConfig(), auth_on=True), Authenticator.of_operator()),
    )


def _admin_surface(
    config: Config,
    holdings: Holdings,
    providers: Mapping[str, Provider],
    routes: RouteAdmin,
    control: KeeperControl,
) -> AdminSurface:
    flush = holdings.usage_writer.flush
    return AdminSurface(
        config,
        providers,
        routes,
        ProxyAdmin(holdings.proxy_pools, control),
        AccountAdmin(holdings.accounts, config, holdings.clock),
        CacheAdmin(holdings.cache),
        MoneyAdmin(holdings.books, holdings.usage, holdings.accounts, config, flush, holdings.clock),
        control,
        holdings.clock,
        holdings.started,
        holdings.admission.state,
        holdings.prices,
    )
