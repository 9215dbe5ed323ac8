"""Count statements and long functions of kling_notebook, the sandbox left out: ``python tests/statements.py``.

A statement is an ``ast.stmt`` node that is not a docstring.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "kling_notebook"
LONGEST = 60  # lines of a function
MOST = 10_800  # statements in all


def sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "sandbox" not in path.relative_to(PACKAGE).parts[:1]]


def statements(tree: ast.AST) -> int:
    docstrings = sum(
        ast.get_docstring(node) is not None
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return sum(isinstance(node, ast.stmt) for node in ast.walk(tree)) - docstrings


def long_functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [
        f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name}: {length} lines"
        for function in functions
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LONGEST
    ]


def counted() -> Counter[str]:
    """Statements by package."""
    counts: Counter[str] = Counter()
    for path in sources():
        counts[path.relative_to(PACKAGE).parts[0]] += statements(ast.parse(path.read_text(encoding="utf-8")))
    return counts


def main() -> None:
    counts = counted()
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")
    print(f"{counts.total():6} in all")
    for path in sources():
        for line in long_functions(path):
            print(line)


if __name__ == "__main__":
    main()
