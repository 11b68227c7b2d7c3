"""`dataclass` of the standard library, made in a quarter of the time: what a start-up of a hundred classes is made of.

Python 3.11 writes and compiles up to seven functions for each class. Here it is `__init__` alone; the others go by the
table of fields. What comes out is a dataclass (`fields`, `replace`, `is_dataclass`
and patterns know it) with slots; type checkers see the standard library's decorator.

https://docs.python.org/3/library/dataclasses.html
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields
from dataclasses import dataclass as _standard
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, slots: bool, frozen: bool = False, eq: bool = True):
        """As the standard one with these arguments; there are always slots."""
        assert slots, "a class without slots is the standard library's"

        def make(cls: type) -> type:
            made = _standard(init=False, repr=False, eq=False, slots=True)(cls)
            made.__init__ = _initializer(made, frozen=frozen)
            made.__repr__ = _repr
            if eq:
                made.__eq__ = _equal
                made.__hash__ = _hasher(made) if frozen else None
            if frozen:
                made.__setattr__ = made.__delattr__ = _refuse
            return made

        return make


def _initializer(cls: type, *, frozen: bool) -> Any:
    """`__init__` with a parameter for each field. Where plain assignment is refused, a slot's own setter is the
    quickest."""
    scope: dict[str, Any] = {"MISSING": MISSING}
    parameters, lines = ["self"], []
    for each in fields(cls):
        name = each.name
        value, line = name, "    self.{} = {}"
        if frozen:
            scope[f"set_{name}"], line = cls.__dict__[name].__set__, "    set_{}(self, {})"
        if each.default is not MISSING:
            scope[f"default_{name}"] = each.default
            parameter = f"{name}=default_{name}"
        elif each.default_factory is not MISSING:
            scope[f"make_{name}"] = each.default_factory
            parameter, value = f"{name}=MISSING", f"make_{name}() if {name} is MISSING else {name}"
        else:
            parameter = name
        if each.init:
            parameters.append(parameter)
            lines.append(line.format(name, value))
        elif "=" in parameter:
            lines.append(line.format(name, value.partition(" if ")[0] if " if " in value else f"default_{name}"))
        else:
            assert parameter == name, "what __init__ does not take has no default here: __post_init__ sets it"
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or ["    pass"]), scope)  # noqa: S102
    made = scope["__init__"]
    made.__qualname__, made.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return made


def _repr(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({shown})"


def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    if other is self:
        return True
    return all(getattr(self, each.name) == getattr(other, each.name) for each in fields(self) if each.compare)


def _hasher(cls: type) -> Any:
    """`__hash__`, which is asked of a connection's origin for each request."""
    names = [each.name for each in fields(cls) if (each.compare if each.hash is None else each.hash)]
    read = attrgetter("__class__", *names)

    def hash_of(self: Any) -> int:
        return hash(read(self))

    return hash_of


def _refuse(self: Any, name: str, *value: object) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r}")
