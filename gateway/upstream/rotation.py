"""Who may be chosen now: the rings of one provider's keys, for all models and for single ones.

`place` puts a key where its standings allow it and is called after every change of one. What the standings are, how
long they last and what is tried again is decided in `standings.py` and `keypool.py`.

Rules of the file:

- A key is in the `ready` ring exactly while it may be chosen, whatever the model. Keys that have proven themselves are
  in `proven` as well, which is where retries look first, and everybody where probes tell good keys from untested ones;
  and so are those that no probe can tell anything about.
- A model has a *view*, rings of its own, from the first verdict about that model alone on; it has the ready keys
  without those that are benched for the model. Other models never see a difference.
- A key whose rest is over is on trial, unless a probe is to decide about its status (`probed`).
- A key on trial (its rest is over, its fault is not disproved) is lent to one request at a time: on trial itself, it
  is in no ring; on trial for a model, it is missing in that model's view only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from gateway.policy.health import Standing
from gateway.policy.verdict import Status
from gateway.upstream.key import Key, Lease
from gateway.upstream.ring import Ring

VIEWS_LIMIT = 256
"""Models with a ring of their own; more of them with verdicts of their own on one provider are rare."""

VIEW_ENTRIES = 250_000
"""Keys in all views together, at most 100 MB: with a hundred thousand keys two models have a view, of 40 MB each."""

NOTHING: frozenset[Status] = frozenset()

MakeRing = Callable[[Iterable[Key]], Ring[Key]]


class View:
    """One model's own rotation. `due` are the keys whose rest for this model is over, `counts` those with a standing
    for it, by status."""

    __slots__ = ("counts", "due", "proven", "ring", "trials")

    def __init__(self, ring: Ring[Key], proven: Ring[Key]) -> None:
        self.ring = ring
        self.proven = proven
        self.due: Ring[Key] = Ring()
        self.counts: Counter[Status] = Counter()
        self.trials: dict[Key, Lease] = {}


class Rotation:
    """See the module's text. `probed`: the statuses that a probe decides about, `probed_for_model`: those of a key for
    one model. `concurrency`: requests that a key may
    have under way at once, 0 for any number."""

    __slots__ = ("_make", "concurrency", "due", "probed", "probed_for_model", "proven", "ready", "views")

    def __init__(self, make: MakeRing = Ring) -> None:
        self._make = make
        self.ready = make(())
        self.proven = make(())
        self.due: Ring[Key] = Ring()
        self.views: dict[str, View] = {}
        self.probed: frozenset[Status] = frozenset()
        self.probed_for_model: frozenset[Status] = frozenset()
        self.concurrency = 0

    def remake(self, make: MakeRing) -> None:
        """Choose in another way from now on. O(keys)."""
        self._make = make
        self.ready, self.proven = make(self.ready), make(self.proven)
        for view in self.views.values():
            view.ring, view.proven = make(view.ring), make(view.proven)

    def next(self, model: str, excluded: Collection[Key], *, retry: bool, affinity: str = "") -> Key | None:
        """The key in turn for a model; with `retry` one that has proven itself, if there is one."""
        view = self.views.get(model) if self.views else None
        if view is not None:
            key = view.proven.next(excluded, affinity) if retry else None
            return key if key is not None else view.ring.next(excluded, affinity)
        key = self.proven.next(excluded, affinity) if retry else None
        return key if key is not None else self.ready.next(excluded, affinity)

    def next_due(self, model: str, excluded: Collection[Key]) -> Key | None:
        """A key whose rest is over, where a request is to find out. Each is lent once, so that costs little."""
        key = self.due.next(excluded) if self.due else None
        if key is None and self.views and (view := self.views.get(model)) is not None:
            key = view.due.next(excluded)
        return key

    def ring(self, model: str) -> Ring[Key]:
        """The keys that may be chosen for a model."""
        view = self.views.get(model)
        return self.ready if view is None else view.ring

    def is_out(self, model: str) -> bool:
        """Whether no key may be chosen for a model."""
        return len(self.ring(model)) == 0

    def would_empty(self, key: Key, model: str) -> bool:
        """Whether benching the key leaves none for the model."""
        ring = self.ring(model)
        return len(ring) == 0 or (len(ring) == 1 and key in ring)

    def place(self, key: Key) -> bool:
        """Into the rings where its standings allow it, out of all others. True if it may be chosen at all.

        O(views) only where the key comes or goes; most changes are of its place in the views that it has standings for.
        """
        chosen = self._may_be_chosen(key)
        proven = chosen and (key.standing.status is Status.VALID or (key.live_only and key.standing.usable))
        if key.removed or (key in self.ready) is not chosen:
            _put(self.ready, key, chosen)
            for view in self.views.values():
                _put(view.ring, key, chosen)
        if key.removed or (key in self.proven) is not proven:
            _put(self.proven, key, proven)
            for view in self.views.values():
                _put(view.proven, key, proven)
        _put(self.due, key, chosen and key.standing.due)
        for model in key.models or ():
            self._place_in(model, key)
        return chosen

    def _place_in(self, model: str, key: Key) -> None:
        """Into the model's rings, where the key stands among all."""
        view, own = self.views[model], key.models.get(model) if key.models else None
        due = False
        serves = key in self.ready
        if own is not None:
            serves = serves and _eligible(own, self.probed_of(key, model)) and key not in view.trials
            due = serves and own.due
        _put(view.ring, key, serves)
        _put(view.proven, key, serves and key in self.proven)
        _put(view.due, key, due)

    def _may_be_chosen(self, key: Key) -> bool:
        return (
            not key.removed
            and key.trial is None
            and key.paused_until is None
            and (not self.concurrency or key.in_flight < self.concurrency)
            and _eligible(key.standing, self.probed_of(key, None))
        )

    def probed_of(self, key: Key, model: str | None) -> frozenset[Status]:
        """The statuses of a key, or of a key for one model, that a probe decides about."""
        if key.live_only:
            return NOTHING
        return self.probed if model is None else self.probed_for_model

    def begin_trial(self, lease: Lease) -> None:
        """Lend a key whose rest is over to this attempt alone. Nothing happens if it is in order."""
        key = lease.key
        if not key.standing.usable:
            key.trial = lease
        elif key.models is not None and lease.model in key.models:
            self.views[lease.model].trials[key] = lease
        else:
            return
        self.place(key)

    def end_trial(self, lease: Lease) -> bool:
        """Whether this attempt was a trial. The key is not placed: its standing may be about to change."""
        key = lease.key
        if key.trial is lease:
            key.trial = None
            return True
        view = self.views.get(lease.model) if self.views else None
        if view is not None and view.trials.get(key) is lease:
            del view.trials[key]
            return True
        return False

    def cancel_trial(self, key: Key, model: str | None) -> None:
        """The standing that is being tried is gone; the attempt is one like any other now."""
        if model is None:
            key.trial = None
        elif model in self.views:
            self.views[model].trials.pop(key, None)

    def set_model(self, key: Key, model: str, standing: Standing | None) -> None:
        """Give a key a standing of its own for a model; None: the model is as the key again."""
        before = key.models.pop(model, None) if key.models else None
        if before is not None:
            self.views[model].counts[before.status] -= 1
        if standing is not None:
            counts = self.add_view(model).counts
            counts[standing.status] += 1
            key.models = key.models or {}
            key.models[model] = standing
        key.models = key.models or None
        if before is not None and standing is None:
            self._place_in(model, key)

    def has_room(self, keys: int) -> bool:
        """Whether another model may have a view among so many keys."""
        return len(self.views) < min(VIEWS_LIMIT, max(VIEW_ENTRIES // max(keys, 1), 1))

    def make_room(self, keys: Collection[Key]) -> dict[str, list[Key]]:
        """Drop the oldest views until another one has room: the models, and the keys that had a standing for them.

        What was known of such a model is forgotten: its keys are tried again.
        """
        dropped = {}
        while self.views and not self.has_room(len(keys)):
            model = next(iter(self.views))
            dropped[model] = self._drop_view(model, keys)
        return dropped

    def add_view(self, model: str) -> View:
        """The model's view; a new one begins with all ready keys."""
        view = self.views.get(model)
        if view is None:
            view = self.views[model] = View(self._make(self.ready), self._make(self.proven))
        return view

    def count_models(self, key: Key, step: int) -> None:
        """Count a key that comes (1) or goes (-1) with its standings for models."""
        for model, standing in (key.models or {}).items():
            self.views[model].counts[standing.status] += step

    def count(self, model: str, counts: Counter[Status]) -> Counter[Status]:
        """Keys by status for a model, given those by their status for all. A key counts for the model's status first;
        where one has a bad status of both kinds, the sum is one too many."""
        view = self.views.get(model)
        if view is None:
            return +counts
        counts = counts + view.counts
        benched = view.counts.total()
        for status in (Status.VALID, Status.UNTESTED):
            hidden = min(counts[status], benched)
            counts[status] -= hidden
            benched -= hidden
        return +counts

    def _drop_view(self, model: str, keys: Collection[Key]) -> list[Key]:
        del self.views[model]
        forgotten = [key for key in keys if key.models is not None and key.models.pop(model, None) is not None]
        for key in forgotten:
            key.models = key.models or None
        return forgotten


def _eligible(standing: Standing, probed: frozenset[Status]) -> bool:
    """Whether requests may use a key, be it for a trial."""
    return standing.usable or (standing.due and standing.status not in probed)


def _put(ring: Ring[Key], key: Key, belongs: bool) -> None:
    if belongs:
        ring.add(key)
    else:
        ring.discard(key)
