"""What ``%load_ext`` costs in a fresh kernel, beside extensions people know."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from . import peers
from .kernels import Kernel
from .report import Row, ms

HEAVY = ("requests", "pandas", "PIL", "matplotlib", "ipywidgets", "numpy", "tornado.httpserver", "sqlite3")
_LOAD = """
import json, sys, time
_before = set(sys.modules); _begun = time.perf_counter()
get_ipython().run_line_magic("load_ext", {extension!r})
_took = time.perf_counter() - _begun
print(json.dumps([_took, sorted(set(sys.modules) - _before)]))
"""
_PEERS = {
    "sql": ("jupysql", ("jupysql", "ipykernel")),
    "jupyter_ai_magics": ("jupyter_ai_magics", ("jupyter-ai-magics", "ipykernel")),
}


def rows(folder: Path, runs: int) -> Iterator[Row]:
    pythons: dict[str, Path | str] = {"kling_notebook": Path(sys.executable), "autoreload": Path(sys.executable)}
    missing = {}
    for extension, (name, packages) in _PEERS.items():
        python = peers.environment(*packages)
        if isinstance(python, str):
            missing[name] = python
        else:
            pythons[extension] = python
    took: dict[str, list[float]] = {name: [] for name in pythons}
    modules: dict[str, list[str]] = {}
    for _ in range(runs):
        for extension, python in pythons.items():
            try:
                with Kernel(folder, python) as kernel:
                    seconds, imported = json.loads(kernel.run(_LOAD.format(extension=extension)).splitlines()[-1])
            except (RuntimeError, TimeoutError) as error:
                missing[extension] = f"did not load: {error}"[:80]
                continue
            took[extension].append(seconds)
            modules[extension] = imported
    medians = {name: statistics.median(times) for name, times in took.items() if times}
    ours, known = medians["kling_notebook"], medians["autoreload"]
    heavy = [name for name in HEAVY if name in modules["kling_notebook"]]
    yield Row(
        "%load_ext in a fresh kernel",
        ms(ours),
        f"autoreload {ms(known)}",
        ours / known,
        "below autoreload, nothing heavy",
        ours < known and not heavy,
        f"{len(modules['kling_notebook'])} modules (autoreload {len(modules['autoreload'])}), heavy: {heavy or 'none'}",
    )
    for extension, (name, _) in _PEERS.items():
        if extension in medians:
            count = f"{len(modules[extension])} modules"
            yield Row("", ms(ours), f"{name} {ms(medians[extension])}", ours / medians[extension], counts=count)
        else:
            yield Row("", ms(ours), f"{name}: {missing.get(name) or missing.get(extension)}")
