"""The shape of the code: what imports what, and that each route is guarded or meant as public."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.service import ROOT

PUBLIC = {
    "api-docs.openapi_json",
    "health.live",
    "health.ready",
    "swagger.start",
    "swagger.page",
    "swagger.file",
}

# Who may import whom, within the project. `barring` stands for any of its modules.
ALLOWED = {
    "wsgi": {"app", "barring.settings", "barring.storage.base"},
    "app": {"barring", "schemas"},
    "gunicorn.conf": {"barring.logs", "barring.server", "barring.settings"},
    "schemas": {"barring.domain", "barring.pauses", "schemas"},
    "barring": set(),
    "barring.__main__": {"barring.cli"},
    "barring.domain": set(),
    "barring.files": set(),
    "barring.logs": set(),
    "barring.pauses": set(),
    "barring.strict_json": {"barring.pauses"},
    "barring.settings": {"barring.logs", "schemas"},
    "barring.metrics": {"barring.logs", "barring.storage.base"},
    "barring.storage": {
        "barring.storage",
        "barring.domain",
        "barring.files",
        "barring.logs",
        "barring.pauses",
    },
    "barring.http": {
        "barring.http",
        "barring.logs",
        "barring.storage.base",
        "barring.strict_json",
        "schemas",
    },
    "barring.access": {
        "barring.access",
        "barring.domain",
        "barring.http",
        "barring.logs",
        "barring.settings",
        "schemas.rules",
    },
    "barring.verification": {"barring.verification", "barring.domain", "barring.storage"},
    "barring.api": {
        "barring.access",
        "barring.api",
        "barring.domain",
        "barring.http",
        "barring.logs",
        "barring.metrics",
        "barring.pauses",
        "barring.storage.base",
        "barring.verification",
        "schemas",
    },
    "barring.bulk": {
        "barring.bulk",
        "barring.domain",
        "barring.storage.staging",
        "barring.strict_json",
        "schemas",
    },
    "barring.cli": {
        "barring.access",
        "barring.bulk",
        "barring.cli",
        "barring.domain",
        "barring.files",
        "barring.logs",
        "barring.server",
        "barring.settings",
        "barring.storage",
        "barring.verification",
        "schemas",
    },
    "barring.server": {
        "barring.http",
        "barring.logs",
        "barring.pauses",
        "barring.server",
        "barring.settings",
        "barring.storage.base",
    },
}
FOREIGN = ("gevent", "gunicorn", "werkzeug", "flask_smorest", "sqlite_utils")
"""Libraries of which only what they name without an underscore may be used or overridden."""

PRIVATE = {"_fields": "documented by typing.NamedTuple, in spite of the underscore"}
"""The underscore names that modules with these libraries use all the same, and why."""

NO_WEB = ("barring.storage", "barring.domain", "barring.settings", "barring.logs", "schemas")
NO_STORAGE = (
    "schemas",
    "barring.access",
    "barring.api.docs.swagger",
    "barring.http.body",
    "barring.http.paths",
)


def modules() -> dict[str, Path]:
    """Every module of the service by its dotted name."""
    files = [*ROOT.glob("*.py"), *ROOT.glob("barring/**/*.py"), *ROOT.glob("schemas/**/*.py")]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in files
    }


def imports(name: str, file: Path) -> set[str]:
    """The dotted names that a module imports, relative ones made absolute."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            dotted = ".".join(base)
            parts = {f"{dotted}.{alias.name}" for alias in node.names}
            found |= parts & modules().keys() or {dotted}
    return found


def within(name: str, prefixes: set[str] | tuple[str, ...]) -> bool:
    """Whether a module is one of these, or inside one."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("name", modules())
def test_imports_point_one_way(name: str) -> None:
    """Each module imports only what lies below it."""
    rule = max((known for known in ALLOWED if within(name, (known,))), key=len)
    project = {i for i in imports(name, modules()[name]) if within(i, tuple(ALLOWED))}
    project -= {"barring"}  # The version alone stands there.
    assert {i for i in project if not within(i, ALLOWED[rule])} == set()


@pytest.mark.parametrize("name", modules())
def test_layers_know_only_their_own(name: str) -> None:
    """Storage knows no Flask, and what faces the network knows no storage."""
    imported = imports(name, modules()[name])
    if within(name, NO_WEB):
        assert not {i for i in imported if within(i, ("flask", "flask_smorest", "werkzeug"))}
    if within(name, NO_STORAGE):
        assert not {i for i in imported if within(i, ("barring.storage", "sqlite_utils"))}


def test_imports_make_no_circle() -> None:
    """Following the imports never leads back to where one started."""
    graph = {n: {i for i in imports(n, f) if i in modules()} - {n} for n, f in modules().items()}

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"{' -> '.join((*trail, name))}"
        for imported in graph[name]:
            walk(imported, (*trail, name))

    for name in graph:
        walk(name, ())


def test_every_route_is_guarded_or_public(client: FlaskClient) -> None:
    """A route without the guard is one of the few that are meant to be public."""
    views = client.application.view_functions
    unguarded = {name for name, view in views.items() if not hasattr(view, "required_role")}
    assert unguarded == PUBLIC


def test_guard_is_outermost(client: FlaskClient) -> None:
    """Each route needs the role that its level demands to read or to write, on every method."""
    rules = [r for r in client.application.url_map.iter_rules() if r.endpoint not in PUBLIC]
    assert len(rules) == 21
    for rule in rules:
        view: Any = client.application.view_functions[rule.endpoint]
        reads = rule.methods is not None and "GET" in rule.methods
        if "/groups/" not in rule.rule or "/verification/" in rule.rule:
            least = "Tenant Admin"
        else:
            own = reads and "/users/" in rule.rule and "/lockout/" not in rule.rule
            least = "End User" if own else "Group Admin"
        assert view.required_role.title == least, rule


@pytest.mark.parametrize("name", modules())
def test_files_and_functions_stay_short(name: str) -> None:
    """A file has at most 300 lines and a function about 40."""
    text = modules()[name].read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 45, node.name


def lines_of_code(file: Path) -> int:
    """How many lines hold code: blank ones, comments and docstrings aside."""
    text = file.read_text()
    docstrings = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for number in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in docstrings
        for number, line in enumerate(text.splitlines(), 1)
    )


def test_the_service_stays_small() -> None:
    """The service, with both engines, holds at most 4,000 lines of code."""
    files = [file for name, file in modules().items() if name != "gunicorn.conf"]
    assert sum(map(lines_of_code, files)) <= 4_000


def private_names(tree: ast.AST) -> set[str]:
    """The names with one underscore that a module takes from objects other than its own."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    taken = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            taken |= {alias.name for alias in node.names}
    return {name for name in taken - own if name.startswith("_") and not name.startswith("__")}


def overridden_private_names(module: object) -> set[str]:
    """The names with one underscore that a module's classes override in a FOREIGN class."""
    found = set()
    for _, kind in inspect.getmembers(module, inspect.isclass):
        foreign = [base for base in kind.__mro__ if within(base.__module__, FOREIGN)]
        if kind.__module__.startswith("barring"):
            own = {n for n in vars(kind) if n.startswith("_") and not n.startswith("__")}
            found |= {n for n in own if any(n in vars(base) for base in foreign)}
    return found


def test_libraries_are_used_by_the_names_they_give() -> None:
    """What a library names with an underscore may go with its next release."""
    used: set[str] = set()
    for name, file in modules().items():
        if name.startswith("barring.") and name != "barring.__main__":
            imported = {i.split(".")[0] for i in imports(name, file)}
            used |= overridden_private_names(importlib.import_module(name))
            if imported & {*FOREIGN}:
                used |= private_names(ast.parse(file.read_text()))
    assert used == PRIVATE.keys()


def test_only_the_server_imports_gevent() -> None:
    """Nothing but what serves, and the command that does, needs gevent."""
    importing = {n for n, f in modules().items() if "gevent" in " ".join(imports(n, f))}
    importing -= {n for n in importing if within(n, ("barring.server",))}
    assert importing == {"gunicorn.conf", "barring.__main__"}
