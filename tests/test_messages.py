"""docs/operate.md explains every error that stops a start or a command, and no other."""

import ast
import re
from collections.abc import Iterable, Iterator

from tests.service import ROOT
from tests.test_structure import modules, within

ERRORS = {
    "SettingsError",
    "ValidationError",
    "StorageError",
    "StorageUnavailable",
    "OutcomeUnknown",
    "InputError",
    "OSError",
    "SystemExit",
    "exit",
    "__init__",  # Of an error's own base class.
}
"""What is called with the message of an error."""

RETURN_MESSAGES = {"_fault", "_reason", "__str__"}
"""Functions that return a part of a message."""

ONLY_HTTP = ("barring.api", "barring.http", "schemas")


def texts(node: ast.AST | None) -> Iterator[str]:
    """The strings that an expression may be, with … for each part that varies."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        yield "".join(map(str, parts))
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from texts(value)
    elif isinstance(node, ast.BoolOp | ast.Tuple | ast.IfExp):
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


def assigned(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """The name and the text of each assignment of a text."""
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name | ast.Tuple):
            name = getattr(node.targets[0], "id", "")
            yield from ((name, text) for text in texts(node.value))


def name_of(node: ast.AST) -> str:
    """The last part of a name, such as `file.REMEDIES`."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


def in_function(function: ast.FunctionDef, constants: list[tuple[str, str]]) -> Iterator[str]:
    """The texts of the errors that a function raises, and those of the constants in them."""
    nodes = [*ast.walk(function)]
    calls = [n for n in nodes if isinstance(n, ast.Call) and name_of(n.func) in ERRORS]
    parts = [part for call in calls for part in call.args]
    if function.name in RETURN_MESSAGES:
        parts += [n.value for n in nodes if isinstance(n, ast.Return) and n.value]
    for part in parts:
        yield from texts(part)
        used = {name_of(node) for node in ast.walk(part)}
        yield from (text for name, text in constants if name in used)
    if calls:
        yield from (text for _, text in assigned(nodes))


def hints(node: ast.AST) -> Iterator[str]:
    """The hints of a class of errors."""
    if isinstance(node, ast.ClassDef):
        found = [text for name, text in assigned(node.body) if name == "hint"]
        yield from (text for text in found if text.startswith(":"))  # A part of a message.


def messages() -> set[str]:
    """The text of every error that stops a start or a command, or a part of it."""
    trees = [ast.parse(f.read_text()) for n, f in modules().items() if not within(n, ONLY_HTTP)]
    constants = [pair for tree in trees for pair in assigned(tree.body)]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    found = {
        text
        for node in nodes
        if isinstance(node, ast.FunctionDef)
        for text in in_function(node, constants)
    }
    found |= {
        text
        for node in nodes
        if isinstance(node, ast.keyword) and node.arg == "error"  # Of a validator.
        for text in texts(node.value)
    }
    found |= {text for node in nodes for text in hints(node)}
    return {text.removeprefix("barring: ") for text in found}


def documented() -> dict[str, re.Pattern[str]]:
    """The messages in the tables of operate.md, and what each of them matches."""
    text = (ROOT / "docs" / "operate.md").read_text()
    section = text.partition("## When something is wrong\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \| [^|]+ \| ", section, re.M)
    shown = [span for cell in cells for span in re.findall(r"(?:`` (.+?) ``|`(.+?)`)", cell)]
    found = {}
    for message in ("".join(spans) for spans in shown):
        parts = [re.escape(part.strip(" :;")) for part in message.split("…")]
        found[message] = re.compile(".*".join(parts), re.S)
    return found


def test_every_documented_message_is_in_the_code() -> None:
    """Each message of the tables is that of an error."""
    known = messages()
    assert len(documented()) > 60
    for message, pattern in documented().items():
        assert any(map(pattern.search, known)), message


def test_every_message_is_documented() -> None:
    """Each error that stops a start or a command is in a table."""
    patterns = documented().values()
    for message in messages():
        if len(re.findall("[a-zA-Z]{2,}", message)) > 1:
            assert any(pattern.search(message) for pattern in patterns), message
