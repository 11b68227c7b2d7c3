"""Any sequence of requests and failures at one provider, against a naive model of what may follow each."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from gateway.config.provider import RetryConfig, RetryCount
from gateway.policy.retry import CREDIT, RESERVE, Decision, Failure, GiveUp, Retries, Retry, RetryBudget, Rotate
from gateway.policy.verdict import Scope, Status, Verdict


class Full(Random):
    """Chance that always says the most."""

    def uniform(self, a: float, b: float) -> float:
        return b


SHARES = st.sampled_from([0.0, 0.125, 0.25, 0.5, 2.0])
"""Floats that add up to the point."""
COUNTS = st.builds(RetryCount, st.integers(0, 4), st.sampled_from([0.0, 0.5, 8.0]), st.sampled_from([1.0, 2.0]))
FAILURES = st.builds(
    Failure,
    st.builds(
        Verdict,
        st.sampled_from(Scope),
        st.sampled_from([Status.SERVER_ERROR, Status.RATE_LIMITED, Status.NETWORK_ERROR]),
        st.just(""),
        wait=st.sampled_from([None, None, 0.0, 2.0, 40.0]),
    ),
    unanswered=st.booleans(),
    elsewhere=st.booleans(),
)


SERVER_ERROR = Failure(Verdict(Scope.PROVIDER, Status.SERVER_ERROR, ""))


@dataclass
class Request:
    """One request: the value under test, and all that ever happened to it."""

    retries: Retries
    failures: list[Failure] = field(default_factory=list)


def of_keys(failure: Failure) -> bool:
    return failure.verdict.scope in (Scope.KEY, Scope.KEY_MODEL, Scope.ACCOUNT)


def of_a_proxy(failure: Failure) -> bool:
    return failure.elsewhere and not of_keys(failure)


def of_the_server(failure: Failure) -> bool:
    return failure.verdict.scope in (Scope.PROVIDER, Scope.PROXY) and not failure.elsewhere


class Model(RuleBasedStateMachine):
    requests: Bundle[Request] = Bundle("requests")

    @initialize(on_key=COUNTS, on_server=COUNTS, replay=st.sampled_from(["always", "streams", "never"]), share=SHARES)
    def begin(self, on_key: RetryCount, on_server: RetryCount, replay: str, share: float) -> None:
        self.config = RetryConfig(on_key, on_server, replay, share)
        self.budget = RetryBudget(share)
        self.history: list[tuple[str, float]] = []  # "request" or "retry", and the share at that time
        self.share = self.most = share

    @rule(target=requests, streamed=st.booleans())
    def arrive(self, streamed: bool) -> Request:
        return self.begun(streamed=streamed)

    def begun(self, *, streamed: bool) -> Request:
        self.budget.deposit()
        self.history.append(("request", self.share))
        return Request(Retries(self.config, streamed))

    @rule(target=requests, request=consumes(requests), failure=FAILURES, left=st.sampled_from([0.0, 1.0, 30.0, 900.0]))
    def fail(self, request: Request, failure: Failure, left: float) -> MultipleResults[Request] | Request:
        return multiple() if self.ends(request, failure, left) else request

    @rule(count=st.integers(1, 30))
    def break_down(self, count: int) -> None:
        for _ in range(count):
            request = self.begun(streamed=False)
            while not self.ends(request, SERVER_ERROR, 900.0):
                pass

    @rule(count=st.sampled_from([4, 40, 400]))
    def recover(self, count: int) -> None:
        for _ in range(count):
            self.begun(streamed=False)

    def ends(self, request: Request, failure: Failure, left: float) -> bool:
        """Whether it is given up with this failure."""
        before = request.retries
        request.failures.append(failure)
        request.retries = before.after(failure)
        assert before.last is None or before.last is request.failures[-2], "it is a value"
        expected = self.expected(request, left)
        assert request.retries.decide(left, self.budget, Full()) == expected
        if isinstance(expected, Retry):
            self.history.append(("retry", self.share))
        return isinstance(expected, GiveUp)

    @rule(share=SHARES)
    def change_the_share(self, share: float) -> None:
        if not self.share:
            self.history.clear()
        self.share = share
        self.most = max(self.most, self.share)
        self.budget.change(share)

    def expected(self, request: Request, left: float) -> Decision:
        failure, failures = request.failures[-1], request.failures
        wait = 0.0
        if of_keys(failure):
            count, nth, word = self.config.on_key_error, sum(map(of_keys, failures)), "key_attempts"
        elif of_a_proxy(failure):
            count, nth, word = self.config.on_key_error, sum(map(of_a_proxy, failures)), "proxy_attempts"
        elif of_the_server(failure):
            count, nth, word = self.config.on_server_error, sum(map(of_the_server, failures)), "server_attempts"
            wait = failure.verdict.wait or 0.0
            replayed = {"always": True, "streams": request.retries.streamed, "never": False}
            if failure.unanswered and not replayed[self.config.replay_unanswered]:
                return GiveUp("unanswered")
        else:
            return GiveUp("client_error")
        if nth > count.attempts:
            return GiveUp(word)
        delay = wait + count.backoff * count.factor ** (nth - 1)
        if delay >= left:
            return GiveUp("deadline")
        if not of_the_server(failure):
            return Rotate(delay)
        return Retry(delay) if self.may_retry() else GiveUp("retry_budget")

    def may_retry(self) -> bool:
        """Told from all that ever happened."""
        ahead, retries = 0.0, 0
        for what, share in self.history:
            if what == "retry":
                retries += 1
                ahead -= 1
            else:
                ahead = min(ahead + share, CREDIT)
        return self.share > 0 and (retries < RESERVE or ahead >= 1)

    @invariant()
    def retries_stay_below_their_share_of_the_requests(self) -> None:
        if hasattr(self, "history"):
            made = [what for what, _ in self.history]
            assert made.count("retry") <= max(RESERVE, self.most * made.count("request"))


TestModel = Model.TestCase
