"""Reading the JSON body of an admin call about users, API tokens or money, field by field."""

from __future__ import annotations

from math import isfinite

from gateway.api.bodies import read_object, wrong
from gateway.api.inbound import Inbound
from gateway.conductor.jwt_tokens import SCOPES
from gateway.config.accounts import NO_LIMITS, USER_NAME_LIMIT, RateLimits, is_user_name
from gateway.config.problems import did_you_mean
from gateway.errors import RequestError, sentence

NOTE_LIMIT = 1000
WORDS_LIMIT = 1000
"""Providers or models of one user or token."""

USER_NAME = f"up to {USER_NAME_LIMIT} characters without control characters, and no spaces around them"

LONGEST_SECONDS = 100 * 366 * 86400.0


class Body:
    """The JSON object of a request, of which these `fields` are understood. Everything raises RequestError 400."""

    def __init__(self, inbound: Inbound, *fields: str) -> None:
        self.fields = read_object(inbound.request.body)
        for name in self.fields:
            if name not in fields:
                near = did_you_mean(name[:40], fields) or f"there are: {', '.join(fields)}"
                message = sentence(f"There is no field {name[:40]!r}; {near}")
                raise RequestError(400, "invalid_request_error", message, param=name)

    def text(self, name: str, default: str | None = None) -> str:
        value = self.fields.get(name)
        if value is None and default is not None:
            return default
        if value is None:
            raise RequestError(400, "invalid_request_error", f"{name!r} is missing.", param=name)
        if value == "":
            raise RequestError(400, "invalid_request_error", f"{name!r} is empty.", param=name)
        if not isinstance(value, str):
            raise wrong(name, "a text")
        return value

    def user_name(self, name: str) -> str:
        value = self.text(name)
        if not is_user_name(value):
            raise wrong(name, USER_NAME)
        return value

    def note(self) -> str:
        value = self.fields.get("note") or ""
        if not isinstance(value, str) or len(value) > NOTE_LIMIT:
            raise wrong("note", f"a text of up to {NOTE_LIMIT} characters")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.fields.get(name, default)
        if not isinstance(value, bool):
            raise wrong(name, "true or false")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        value = self.fields.get(name) or []
        if not isinstance(value, list) or len(value) > WORDS_LIMIT or not all(isinstance(v, str) and v for v in value):
            raise wrong(name, f"a list of up to {WORDS_LIMIT} texts")
        return tuple(dict.fromkeys(value))

    def scopes(self) -> tuple[str, ...]:
        scopes = self.words("scopes")
        if not SCOPES.issuperset(scopes):
            raise wrong("scopes", f"a list of {', '.join(sorted(SCOPES))}")
        return scopes

    def limits(self, present: RateLimits) -> RateLimits:
        """With those that the body names in the place of present ones."""
        given = self.fields.get("limits", {})
        if given is None:
            return NO_LIMITS
        try:
            return RateLimits.of(present.named() | given if isinstance(given, dict) else given)
        except ValueError as error:
            raise RequestError(400, "invalid_request_error", f"'limits' {error}.", param="limits") from None

    def seconds(self, name: str, default: float) -> float:
        value = self.fields.get(name, default)
        number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        if not number or not 1 <= value <= LONGEST_SECONDS:
            raise wrong(name, f"a number of seconds, from one to {LONGEST_SECONDS:.0f}")
        return float(value)
