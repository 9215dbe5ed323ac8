"""Pack the Noto Emoji drawings into the sandbox's painter: python tests/sandbox/make_illustrations.py icons.json

`icons.json` comes from the npm package @iconify-json/noto (Apache-2.0). Needs picosvg and shapely, which are not
dependencies of anything else here: they turn strokes, clips, transforms and overlaps into plain filled paths.

The archive holds `index.json` (name -> words, home, height, kind, color, foot; from illustration_words.txt, and for
our own figures from figures.json), `roles.json` (what the roles of our own figures are colored), and one JSON file per
drawing: a list of [paint, opacity, contours]. A contour is [x, y, dx, dy, dx, dy, ...] in units of 1/20 on a sheet of
2560 x 2560, outer contours before the holes in them. A paint is "rrggbb", or a gradient
[map, [[offset, "rrggbb", alpha], ...]] with 3 numbers (linear: t = ax + by + c) or 6 (radial: t = |affine map|).
Of our own figures it is "@" and a role. `foot` is the point a drawing stands on, in shares of its width and height.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from figure_outlines import layers_of
from picosvg.geometric_types import Rect
from picosvg.svg import SVG
from picosvg.svg_transform import Affine2D
from picosvg.svg_types import SVGLinearGradient, SVGPath, SVGRadialGradient
from PIL import ImageColor

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "kling_notebook" / "sandbox" / "painter" / "illustrations.zip"
GRID = 20
"""Units per pixel of the 128 x 128 original."""
TOLERANCE = 0.05
GROUNDED = frozenset(("fireworks", "sparkler"))
"""Drawings whose first layer is a dark square."""
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {} {}">'


def contours_of(path: SVGPath) -> list[list[int]]:
    """The path's outlines as integer polylines, largest first."""
    found: list[np.ndarray] = []
    points: list[tuple[float, float]] = []
    for letter, args in path.arcs_to_cubics().remove_overlaps().absolute().as_cmd_seq():
        if letter == "M":
            if len(points) > 2:
                found.append(np.array(points))
            points = [args]
        elif letter == "L":
            points.append(args)
        elif letter in {"C", "Q"}:
            points.extend(_curve(points[-1], args))
        elif letter != "Z":
            raise ValueError(f"unexpected path command {letter}")
    if len(points) > 2:
        found.append(np.array(points))
    found.sort(key=lambda ring: -abs(_area(ring)))
    return [packed for ring in found if (packed := _packed(ring))]


def _curve(start: tuple[float, float], args: tuple[float, ...]) -> list[tuple[float, float]]:
    """A Bezier curve as points, as many as the tolerance needs."""
    knots = np.array([start, *zip(args[::2], args[1::2], strict=True)])
    if len(knots) == 3:
        knots = np.array([knots[0], (knots[0] + 2 * knots[1]) / 3, (knots[2] + 2 * knots[1]) / 3, knots[2]])
    bend = max(np.abs(knots[0] - 2 * knots[1] + knots[2]).max(), np.abs(knots[1] - 2 * knots[2] + knots[3]).max())
    steps = max(1, int(np.ceil(np.sqrt(0.75 * bend / TOLERANCE))))
    t = (np.arange(1, steps + 1) / steps)[:, None]
    curve = (1 - t) ** 3 * knots[0] + 3 * t * (1 - t) ** 2 * knots[1] + 3 * t * t * (1 - t) * knots[2] + t**3 * knots[3]
    return [(float(x), float(y)) for x, y in curve]


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _packed(ring: np.ndarray) -> list[int]:
    grid = np.rint(ring * GRID).astype(int)
    keep = np.any(np.diff(grid, axis=0, prepend=grid[-1:]) != 0, axis=1)
    grid = grid[keep]
    if len(grid) < 3 or abs(_area(grid.astype(float))) < GRID * GRID * 0.02:
        return []
    return [*map(int, grid[0]), *map(int, np.diff(grid, axis=0).ravel())]


def paint_of(svg: SVG, path: SVGPath) -> Any:
    """A color, or a gradient."""
    fill = path.fill
    if not fill.startswith("url("):
        return _color(fill)
    label = fill.removeprefix("url(#").removesuffix(")")
    element = svg.xpath_one(f'//*[@id="{label}"]')
    box = Rect(0, 0, 128, 128)
    kind = SVGLinearGradient if element.tag.endswith("linearGradient") else SVGRadialGradient
    gradient = kind.from_element(element, box)
    relative = gradient.gradientUnits == "objectBoundingBox"
    bounds = path.bounding_box()
    to_user = gradient.gradientTransform
    if relative:
        to_user = Affine2D.compose_ltr((to_user, Affine2D(bounds.w, 0, 0, bounds.h, bounds.x, bounds.y)))
    back = to_user.inverse()
    a, b, c, d, e, f = back
    stops = [
        [
            float(stop.attrib.get("offset", "0").rstrip("%")) / (100 if "%" in stop.attrib.get("offset", "0") else 1),
            _color(stop.attrib.get("stop-color", "#000000")),
            float(stop.attrib.get("stop-opacity", 1)),
        ]
        for stop in element
    ]
    if kind is SVGLinearGradient:
        dx, dy = gradient.x2 - gradient.x1, gradient.y2 - gradient.y1
        size = dx * dx + dy * dy or 1e-6
        # t = ((p' - start) . (end - start)) / |end - start|^2, with p' the point in the gradient's own space
        row = [a * dx + b * dy, c * dx + d * dy, (e - gradient.x1) * dx + (f - gradient.y1) * dy]
        return [[round(v / size, 6) for v in row], stops]
    r = gradient.r or 1e-6
    rows = [a, c, e - gradient.cx, b, d, f - gradient.cy]
    return [[round(v / r, 6) for v in rows], stops]


def _color(text: str) -> str:
    return "{:02x}{:02x}{:02x}".format(*ImageColor.getrgb("black" if text == "none" else text)[:3])


def drawing(icon: dict[str, Any], size: tuple[int, int]) -> list[Any]:
    """One icon as filled contours."""
    width, height = icon.get("width", size[0]), icon.get("height", size[1])
    svg = SVG.fromstring(
        HEAD.format(width, height) + icon["body"].replace(" href=", " xlink:href=") + "</svg>"
    ).topicosvg()
    layers = []
    for path in svg.shapes():
        rings = contours_of(path.as_path())
        if rings and path.opacity > 0.01:
            layers.append([paint_of(svg, path.as_path()), round(path.opacity, 3), rings])
    return layers


def visible(name: str, layers: list[Any]) -> list[Any]:
    """The layers without what lies beside the sheet, and without a dark ground behind."""

    def inside(ring: list[int]) -> bool:
        points = np.cumsum(np.array(ring).reshape(-1, 2), axis=0)
        return bool((points.max(axis=0) > 0).all() and (points.min(axis=0) < 128 * GRID).all())

    kept = [[paint, opacity, [ring for ring in rings if inside(ring)]] for paint, opacity, rings in layers]
    return [layer for layer in kept[name in GROUNDED :] if layer[2]]


def words_table() -> dict[str, tuple[str, list[Any]]]:
    """illustration_words.txt: per drawing the icon it is, and its words, home and height (in shorter sides)."""
    table: dict[str, tuple[str, list[Any]]] = {}
    home, size = "studio", 0.5
    for line in (HERE / "illustration_words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            home, _, share = line.strip("[]").partition(" ")
            size = float(share)
        elif line and not line.startswith("#"):
            head, _, rest = line.partition(":")
            icon, _, own = head.partition(" ")
            icon, _, name = icon.partition("=")
            name = name or icon
            words = [word.strip() for word in rest.split(",") if word.strip()]
            table[name] = (icon, [[name.replace("-", " "), *words], home, float(own or size)])
    return table


def own_figure(row: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """One of our own figures: its row of the index, and its layers."""
    layers = [[f"@{role}", 1, [p for ring in rings if (p := _packed(ring))]] for role, rings in layers_of(row["parts"])]
    points = np.concatenate([np.cumsum(np.array(r).reshape(-1, 2), 0) for _, _, rings in layers for r in rings])
    low, high = points.min(axis=0), points.max(axis=0)
    foot = [round(float(v), 4) for v in -low / np.maximum(high - low, 1)]
    return [[], row["home"], row["height"], row["group"], row["colour"], foot], layers


def main() -> None:
    source = Path(sys.argv[1])
    data = json.loads(source.read_text(encoding="utf-8"))
    size = (data.get("width", 16), data.get("height", 16))
    table = words_table()
    kept: dict[str, Any] = {}
    if "--keep" in sys.argv and TARGET.exists():  # only what is new: a drawing takes seconds
        with zipfile.ZipFile(TARGET) as old:
            kept = {name[:-5]: json.loads(old.read(name)) for name in old.namelist()}
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:

        def put(name: str, value: Any) -> None:
            text = json.dumps(value, separators=(",", ":"), sort_keys=True)
            archive.writestr(zipfile.ZipInfo(f"{name}.json", (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED, 9)

        figures = json.loads((HERE / "figures.json").read_text(encoding="utf-8"))
        put("roles", figures.pop("roles"))
        own = {name: own_figure(row) for name, row in figures.items()}
        put("index", {name: row for name, (_, row) in table.items()} | {name: row for name, (row, _) in own.items()})
        for name, (_, layers) in own.items():
            put(name, layers)
        for name, (icon, _) in sorted(table.items()):
            put(name, kept[name] if name in kept else visible(icon, drawing(data["icons"][icon], size)))
    print(f"{len(table)} drawings and {len(own)} figures, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
