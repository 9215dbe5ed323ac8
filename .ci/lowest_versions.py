"""Print a constraints file that holds every dependency at the lowest version pyproject.toml allows.

The bounds are written once, there. The tools of `test` and `dev`, which no user installs, are left alone.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LEFT_ALONE = {"test", "dev"}


def lowest(project: Mapping[str, Any]) -> Iterator[str]:
    """``name==version`` for each requirement, the users' extras included. ValueError where one has no lower bound."""
    groups = [project["dependencies"]]
    groups += [group for name, group in project["optional-dependencies"].items() if name not in LEFT_ALONE]
    for requirement in (line for group in groups for line in group):
        if requirement.startswith(f"{project['name']}["):
            continue  # one extra that names another
        parts = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*>=\s*([\w.]+)", requirement)
        if parts is None:
            raise ValueError(f"{requirement!r} does not begin with its lowest version")
        yield f"{parts[1]}=={parts[2]}"


if __name__ == "__main__":
    pyproject = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "pyproject.toml"
    for line in lowest(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]):
        sys.stdout.write(f"{line}\n")
