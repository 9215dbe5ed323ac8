"""No exception disappears without a line in the log: `%kling log` then says why something was left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from kling_notebook.api import event_log

PACKAGE = Path(event_log.__file__).parent.parent

ANSWERS = {
    *("ValueError", "TypeError", "OverflowError", "RecursionError", "AttributeError", "LookupError", "KeyError"),
    *("IndexError", "ImportError", "FileExistsError", "FileNotFoundError", "NotADirectoryError", "IsADirectoryError"),
    *("PackageNotFoundError", "BrokenExifError", "NotEditedError", "TooBigError", "CancelledError", "LostOwnership"),
    *("Timeout", "InputError", "UnauthorizedError", "KeyboardInterrupt"),
}
"""How Python or a module of this package answers a question: is this a number, is the file there, was it cancelled?"""

REASONS = {
    ("api/parameters.py", "Exception"): "what cannot be converted is not a number",
    ("api/rate_headers.py", "OSError"): "a date that the platform cannot hold is not a date",
    ("api/url_policy.py", "OSError"): "a name that is not a literal address: the usual case",
    ("journal/layout.py", "OSError"): "not there yet: the usual case; who opens it says why it cannot be opened",
    ("journal/locks.py", "OSError"): "a lock that is held, or cannot be asked for: its session counts as alive",
    ("notebook/display/wait.py", "RuntimeError"): "no event loop runs: the usual case of a script",
    ("view/pixels.py", "OSError"): "view imports nothing of this package; its caller shows the image as missing",
    ("view/pixels.py", "SyntaxError"): "the same",
    ("view/sheet.py", "Exception"): "a line of text is left out",
}


def names_of(kind: ast.expr | None) -> Iterator[str]:
    if kind is None:
        yield "BaseException"
    elif isinstance(kind, ast.Tuple):
        for one in kind.elts:
            yield from names_of(one)
    else:
        yield ast.unparse(kind).rpartition(".")[2]


def is_handled(handler: ast.ExceptHandler) -> bool:
    """Whether the exception is raised again, logged, or goes into what is told."""
    for node in (node for statement in handler.body for node in ast.walk(statement)):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Name) and node.id == handler.name):
            return True
    return False


def suppressed(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = any(
        isinstance(node, ast.ImportFrom)
        and str(node.module).endswith("event_log")
        and "suppress" in {name.name for name in node.names}
        for node in ast.walk(tree)
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not is_handled(node):
            yield from ((node.lineno, name) for name in names_of(node.type) if name not in ANSWERS)
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called == "contextlib.suppress" or (called == "suppress" and not ours):
            yield node.lineno, "suppress of contextlib"


def test_every_suppressed_exception_is_logged() -> None:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith("sandbox/") and name != "api/event_log.py":  # another program; the log itself
            for line, kind in suppressed(path):
                found.setdefault((name, kind), line)
    assert {where: line for where, line in found.items() if where not in REASONS} == {}
    assert REASONS.keys() <= found.keys(), "a reason whose place is gone"


def test_suppress_says_what_it_caught_and_where() -> None:
    event_log._lines.clear()
    with event_log.suppress(OSError):
        raise FileNotFoundError("/home/somebody/secret")
    (line,) = event_log.log_lines()
    assert "test_suppressed" in line
    assert line.endswith("FileNotFoundError was suppressed")
    assert "secret" not in line
    with pytest.raises(ValueError, match="another"), event_log.suppress(OSError):
        raise ValueError("another")
