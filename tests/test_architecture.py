"""The order of the layers, held by reading the imports (ARCHITECTURE.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gateway"

LAYERS: list[set[str]] = [
    {"cli"},
    {"daemon"},
    {"api", "keeper"},
    {"conductor"},
    {"upstream"},
    {"net", "store", "systemd"},
    {"providers"},
    {"dialects"},
    {"policy", "wire"},
    {"observe"},
    {"config"},
    {"errors", "money", "secret", "usage", "jsonlib"},
    {"quick"},
]
"""From top to bottom. A room imports from rooms below its own, never from one beside or above it."""

SPECIAL = {("keeper", "conductor")}
"""Pairs that the order would allow and the architecture forbids: the Keeper knows nothing of requests."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "h11": ("net/",),
    "sqlite3": ("store/sqlite.py",),
    "asyncpg": ("store/postgres.py",),
    "redis": ("store/redis.py",),
    "uvloop": ("cli/", "daemon/"),
    "orjson": ("jsonlib.py",),
    "logging": (),
}

PURE = ("dialects", "policy", "wire", "providers")
IMPURE_MODULES = {"asyncio", "time", "random", "os", "socket", "threading", "subprocess", "pathlib", "ssl"}

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every import, those inside functions too; `if TYPE_CHECKING` counts like any other."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.module, alias.name


def inner_imports(path: Path) -> set[str]:
    """Rooms of the gateway that a module imports."""
    rooms = set()
    for module, name in imports_of(path):
        parts = module.split(".")
        if parts[0] == "gateway":
            room = parts[1] if len(parts) > 1 else name
            if room in LEVEL:
                rooms.add(room)
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_from_rooms_below_its_own(path: Path) -> None:
    room = room_of(path)
    if room not in LEVEL:
        assert path.name in ("__init__.py", "__main__.py"), f"{path}: a room that the architecture does not know"
        return
    wrong = {other for other in inner_imports(path) if other != room and LEVEL[other] <= LEVEL[room]}
    assert not wrong, f"{path} imports {sorted(wrong)}, which stand beside or above {room}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_rooms_that_must_not_know_each_other_do_not(path: Path) -> None:
    assert not {(room_of(path), other) for other in inner_imports(path)} & SPECIAL


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_library_is_imported_only_in_its_room(path: Path) -> None:
    for module, _ in imports_of(path):
        allowed = ONLY_IN.get(module.split(".")[0])
        if allowed is not None:
            assert path.as_posix().startswith(allowed), f"{path} imports {module}, which belongs to {allowed}"


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) in PURE], ids=str)
def test_pure_rooms_do_no_input_or_output(path: Path) -> None:
    for module, name in imports_of(path):
        if module.split(".")[0] in IMPURE_MODULES:
            assert (module, name) in {("random", "Random")}, f"{path} imports {module}"
    called = {
        node.func.id
        for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "print", "input"}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_task_has_a_name_and_somebody_who_holds_it(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    dropped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "create_task":
            assert any(keyword.arg == "name" for keyword in node.keywords), f"{path}:{node.lineno}: a nameless task"
            assert id(node) not in dropped, f"{path}:{node.lineno}: a task that nobody holds"


def test_the_modules_import_each_other_without_a_cycle() -> None:
    names = {".".join(("gateway", *path.with_suffix("").parts)).removesuffix(".__init__"): path for path in MODULES}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        graph[name] = set()
        for module, imported in imports_of(path):
            target = f"{module}.{imported}" if f"{module}.{imported}" in names else module
            if target in names and target != name:
                graph[name].add(target)
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*way, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
