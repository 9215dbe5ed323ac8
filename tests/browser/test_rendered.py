"""What a session leaves in a saved notebook, read where people read it: JupyterLab, exported HTML, Markdown, PDF.

One notebook is executed once, against a sandbox that is to it the hosted service, and then looked at everywhere. The
screenshots stay in tests/browser/screenshots/ for people to look at.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import html5lib
import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from kling_notebook.sandbox import Fault, Sandbox

SCREENSHOTS = Path(__file__).parent / "screenshots"
SIZES = {"1:1": (1024, 1024), "16:9": (1360, 768), "21:9": (1552, 656), "9:16": (768, 1360)}
SETUP = """\
%load_ext kling_notebook
import kling_notebook as kling
kling.connect(requests_per_minute=6000, credits_without_asking=100);"""
pytestmark = pytest.mark.long

INTERRUPTED = """\
import os, signal, threading
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
get_ipython().run_cell_magic("kling", "", "A heron that takes its time")"""
# name -> (source, images in its text/html)
CELLS: dict[str, tuple[str, int]] = {
    "setup": (SETUP, 0),
    "one": ('%%kling -a 16:9 -o one\nA red fox in fresh snow, golden hour, <b>bold</b> & "quoted"', 1),
    "four": ("%%kling -n 4 -o four\nA lighthouse in a storm, oil painting", 4),
    "nine": ("%%kling -n 9 -o nine\nA beautiful mountain landscape at golden hour, photorealistic", 9),
    "wide": ("%%kling -n 2 -a 21:9 -o wide\nA city at night in the rain", 2),
    "tall": ("%%kling -n 3 -a 9:16 -o tall\nA waterfall in autumn", 3),
    "mixed": ("%%kling --sweep aspect_ratio=21:9,9:16\nA castle on a cliff", 2),
    "one axis": ("%%kling --sweep animal=fox,owl,cat,bear\nA {animal} made of paper", 4),
    "two axes": ("%%kling --sweep animal=fox,owl --sweep time=dawn,noon,night\nA {animal} at {time}", 6),
    "three axes": (
        "%%kling -n 2 --sweep animal=fox,owl --sweep time=dawn,night --sweep style=ink,oil -o facets\n"
        "A {animal} at {time}, {style}",
        16,
    ),
    "four axes": (
        "%%kling --sweep animal=fox,owl --sweep time=dawn,night --sweep style=ink,oil --sweep sample=2\n"
        "A {animal} at {time}, {style}",
        16,
    ),
    "image": ("nine[2]", 1),
    "compare": ("kling.compare(wide[0], tall[1])", 2),
    "failed": ("%%kling\nSomething the model refuses", 0),
    "partly failed": ("%%kling -o partly\nA fox again\n---\nAn owl again\n---\nA cat again", 2),
    "interrupted": (INTERRUPTED, 0),
    "dry run": ("%%kling --dry-run --sweep animal=fox,owl --sweep sample=3\nA {animal}", 0),
    "note": ("%kling note 1 the one for the paper\n%kling star 3c", 0),
    "history": ("%kling history --limit 8", 5),
    "status": ("%kling status", 0),
    "page": ("kling.export_history('history.html');", 0),
    "figure": ("facets.figure(width=7)", 0),
}
FAILING = {"failed", "interrupted"}
FAULTS = {
    "failed": [Fault("submit", "failed", error="The prompt was refused: content policy.")],
    "partly failed": [Fault("submit", "failed", at=2, error="The prompt was refused: content policy.")],
    "interrupted": [Fault("poll", "wire", raw=b'HTTP/1.1 200 OK\r\n\r\n{"status":"warming_up"}')],
}
SIDE_BY_SIDE = {"nine": 3, "four": 2, "tall": 3, "wide": 2, "mixed": 2, "compare": 2}
"""How many images stand beside one another, from 600 pixels on."""
IMAGES = sum(images for _, images in CELLS.values())


def paint(prompt: str, *, aspect_ratio: str, index: int, **options: Any) -> bytes:
    """Real images where their weight is measured; else a gradient of its own color in the right shape."""
    if "landscape" in prompt:
        from kling_notebook.sandbox.painter import paint as paint_really

        return paint_really(prompt, aspect_ratio=aspect_ratio, index=index, **options)
    color = hashlib.sha256(f"{prompt} {index}".encode()).digest()
    steps = Image.linear_gradient("L").resize(SIZES[aspect_ratio])
    image = Image.merge("RGB", [steps.point(lambda v, c=c: (v + c) // 2) for c in color[:3]])
    out = io.BytesIO()
    image.save(out, options["output_format"].upper(), **({"compress_level": 1}))
    return out.getvalue()


@dataclass(frozen=True)
class Executed:
    """The notebook after Run All, and where it lies."""

    notebook: NotebookNode
    path: Path

    def outputs(self, name: str) -> list[dict[str, Any]]:
        """Those that show something: where the progress was, an empty one stays."""
        found: list[dict[str, Any]] = self.notebook.cells[list(CELLS).index(name)].outputs
        return [output for output in found if any(output.get("data", {"error": True}).values())]

    def html(self, name: str) -> str:
        return "".join(output.get("data", {}).get("text/html", "") for output in self.outputs(name))


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    folder = tmp_path_factory.mktemp("rendered")
    cells = [nbformat.v4.new_code_cell(source) for source, _ in CELLS.values()]
    for cell, name in zip(cells, CELLS, strict=True):
        cell.metadata["tags"] = ["raises-exception"] if name in FAILING else []
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_"))}
    with Sandbox(latency=0.05, paint=paint) as service:

        def before(cell: NotebookNode, cell_index: int) -> None:
            names = list(CELLS)
            if cell_index <= names.index("interrupted"):  # whose job continues to the end, and never has an image
                service.clear_faults()
            for fault in FAULTS.get(names[cell_index], ()):
                service.add_fault(fault)

        where = {"PIXELDOJO_API_BASE": service.base_url, "PIXELDOJO_API_KEY": service.key}
        client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
        client.on_cell_execute = before
        client.execute(env=kept | where | {"IPYTHONDIR": str(folder / "ipython")})
    path = folder / "rendered.ipynb"
    nbformat.write(notebook, path)
    return Executed(notebook, path)


# the file -------------------------------------------------------------------------------------------------------------


def test_every_cell_leaves_one_output_with_its_images(executed: Executed) -> None:
    for name, (_, images) in CELLS.items():
        assert len(re.findall(r"<img\b", executed.html(name))) == images, name
        kinds = [output["output_type"] for output in executed.outputs(name)]
        assert kinds.count("display_data") + kinds.count("execute_result") <= 1 + (name == "note"), name
        assert kinds.count("error") == (name in FAILING), name


def test_no_widget_is_needed_and_nothing_dead_is_left(executed: Executed) -> None:
    text = executed.path.read_text(encoding="utf-8")
    assert "widgets" not in executed.notebook.metadata
    assert "widget-view" not in text
    for name, (_, images) in CELLS.items():
        if images:
            assert "progressbar" not in executed.html(name), name


def test_a_grid_of_nine_real_images_is_light(executed: Executed) -> None:
    (output,) = executed.outputs("nine")
    assert len(nbformat.v4.writes(nbformat.v4.new_notebook(cells=[executed.notebook.cells[3]]))) < 300_000
    assert set(output["data"]) == {"text/html", "image/jpeg", "text/plain"}
    with Image.open(io.BytesIO(base64.b64decode(output["data"]["image/jpeg"]))) as sheet:
        assert sheet.width > 3 * 200
    assert executed.path.stat().st_size < 3_500_000


def test_an_image_alone_is_large_and_bounded(executed: Executed) -> None:
    for name in ("one", "image"):
        (output,) = executed.outputs(name)
        jpeg = base64.b64decode(output["data"]["image/jpeg"])
        assert len(jpeg) <= 200_000
        with Image.open(io.BytesIO(jpeg)) as image:
            assert 512 <= max(image.size) <= 1024, "for pages without HTML, where the large one is not shown"


def test_the_prompt_is_the_alternative_text_of_every_image(executed: Executed) -> None:
    root = html5lib.parseFragment(executed.html("one"), namespaceHTMLElements=False)
    (image,) = root.iter("img")
    assert image.attrib["alt"] == 'A red fox in fresh snow, golden hour, <b>bold</b> & "quoted"'
    for name in CELLS:
        root = html5lib.parseFragment(executed.html(name), namespaceHTMLElements=False)
        assert all(image.attrib["alt"].startswith(("A ", "An ")) for image in root.iter("img")), name


def test_a_caption_says_address_parameters_time_and_price(executed: Executed) -> None:
    root = html5lib.parseFragment(executed.html("nine"), namespaceHTMLElements=False)
    captions = ["".join(caption.itertext()) for caption in root.iter("figcaption")]
    assert len(captions) == 9
    for k, caption in enumerate(captions):
        assert re.fullmatch(rf"3{'abcdefghi'[k]} · 1:1 · 1K · \d+(\.\d)? s · 9 credits for 9", caption), caption


def test_every_original_is_reached_by_a_relative_link(executed: Executed) -> None:
    root = html5lib.parseFragment(executed.html("nine"), namespaceHTMLElements=False)
    links = [link.attrib["href"] for link in root.iter("a")]
    assert len(links) == 9
    assert all((executed.path.parent / link).stat().st_size > 100_000 for link in links)


def test_what_is_saved_is_valid_html_that_runs_nothing(executed: Executed) -> None:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    for name in CELLS:
        if not (html := executed.html(name)):
            continue
        root = parser.parseFragment(html)
        for element in root.iter():
            assert element.tag not in {"script", "style", "form", "button", "iframe", "object", "embed"}, name
            assert not [key for key in element.attrib if str(key).startswith("on")], name
            for key in ("src", "href"):
                value = element.attrib.get(key, "data:image/")
                assert value.startswith("data:image/") or not re.match(r"[a-z]+:|//|/", value), (name, value)


def test_a_failure_and_an_interrupt_leave_their_last_state_with_reason_and_next_step(executed: Executed) -> None:
    failed = executed.outputs("failed")
    assert "failed" in failed[0]["data"]["text/html"]
    assert "content policy" not in failed[0]["data"]["text/html"], "message once"
    assert "content policy" in failed[1]["evalue"]
    assert failed[1]["ename"] == "JobFailedError"
    assert len(failed[1]["traceback"]) == 1
    interrupted = executed.outputs("interrupted")
    shown = interrupted[0]["data"]["text/plain"]
    assert "not waited for" in shown
    assert interrupted[1]["ename"] == "Interrupted"
    assert re.search(r"Job \d+ keeps running; %kling resume shows its images\.", interrupted[1]["evalue"])
    assert len(interrupted[1]["traceback"]) == 1
    partly = executed.html("partly failed")
    assert "1 of 3 jobs did not succeed" in partly
    assert "✕ failed" in partly


# converted ------------------------------------------------------------------------------------------------------------


def export(executed: Executed, theme: str = "light") -> Path:
    """The notebook as nbconvert's HTML, beside the notebook."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter(template_name="lab", theme=theme).from_notebook_node(executed.notebook)
    path = executed.path.with_name(f"{theme}.html")
    path.write_text(body, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def exported(executed: Executed) -> Path:
    return export(executed)


def images_of(html: str) -> list[str]:
    """The images inside a page, as data URLs."""
    return re.findall(r'<img[^>]* src="(data:image/[^"]+)"', html)


def test_html_and_markdown_hold_every_image_and_its_prompt(executed: Executed, exported: Path) -> None:
    from nbconvert import MarkdownExporter

    page = exported.read_text(encoding="utf-8")
    figures = 1  # the matplotlib figure is an image of its own
    assert len(images_of(page)) == IMAGES + figures
    assert page.count('alt="A beautiful mountain landscape at golden hour, photorealistic"') >= 10
    markdown, _ = MarkdownExporter().from_notebook_node(executed.notebook)
    assert len(images_of(markdown)) == IMAGES
    assert markdown.count('alt="A beautiful mountain landscape at golden hour, photorealistic"') >= 10


def test_a_pdf_printed_by_a_browser_holds_the_images(chromium: Any, exported: Path) -> None:
    """What nbconvert's webpdf does, with the browser that is here."""
    page = chromium.new_page()
    page.goto(exported.as_uri())
    page.wait_for_function("[...document.images].every(i => i.complete)")
    pdf = page.pdf(path=str(exported.with_suffix(".pdf")), print_background=True)
    page.close()
    assert pdf.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))
    images = len(re.findall(rb"/Subtype\s*/Image\b", pdf))
    assert 5 <= pages <= 40, pages
    assert images >= IMAGES * 0.7, f"{images} images in the PDF, {IMAGES} shown (equal ones are stored once)"


# in browsers ----------------------------------------------------------------------------------------------------------

MEASURE = """(cells) => {
    // Colors as [r, g, b, a], one over the other; the ground is what lies under a text, up to the page.
    const parse = (c) => { const n = c.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
    const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
    const ground = (e) => {
        const layers = [];
        for (; e; e = e.parentElement) {
            const color = parse(getComputedStyle(e).backgroundColor);
            if (color[3] > 0) layers.push(color);
            if (color[3] === 1) break;
        }
        return layers.reduceRight((under, top) => over(top, under), [255, 255, 255, 1]);
    };
    const light = (c) => c.slice(0, 3).map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const contrast = (a, b) => {
        const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
    return [...document.querySelectorAll('.jp-Cell')].slice(0, cells).map((cell) => {
        const areas = [...cell.querySelectorAll('.jp-OutputArea-output')];
        const ours = areas.filter((a) => a.classList.contains('jp-RenderedHTMLCommon'));
        const texts = [];
        for (const area of ours) {
            const walk = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
            while (walk.nextNode()) {
                const words = walk.currentNode.data.trim(), e = walk.currentNode.parentElement;
                if (!words || !e.getClientRects().length) continue;
                const under = ground(e), ink = over(parse(getComputedStyle(e).color), under);
                texts.push([words.slice(0, 40), contrast(ink, under)]);
            }
        }
        const boxes = (what) => ours.flatMap((a) => [...a.querySelectorAll(what)].map((e) => {
            const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }));
        const columns = (rows) => rows.map((b) => Math.round(b[1])).reduce(
            (seen, top) => seen.set(top, (seen.get(top) ?? 0) + 1), new Map());
        return {
            texts,
            images: boxes('img'),
            natural: ours.flatMap((a) => [...a.querySelectorAll('img')].map((i) => i.naturalWidth / i.naturalHeight)),
            captions: boxes('figcaption'),
            side: Math.max(0, ...columns(boxes('figure')).values()),
            scrolls: areas.filter((a) => a.scrollWidth > a.clientWidth + 1).length,
        };
    });
}"""


def look(page: Any, width: int) -> dict[str, dict[str, Any]]:
    """What the browser has made of every cell, after checking what holds for each of them."""
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    cells: dict[str, dict[str, Any]] = dict(zip(CELLS, page.evaluate(MEASURE, len(CELLS)), strict=True))
    assert sum(len(seen["texts"]) for seen in cells.values()) > 400
    for name, seen in cells.items():
        assert len(seen["images"]) == CELLS[name][1], name
        assert seen["scrolls"] == 0, f"{name} scrolls sideways"
        for (left, top, right, bottom), natural in zip(seen["images"], seen["natural"], strict=True):
            assert 0 <= left < right <= width + 1, name
            assert (right - left) / (bottom - top) == pytest.approx(natural, rel=0.04), f"{name} is stretched"
            assert right - left >= 60, f"{name}: too small to see"
        for left, top, right, bottom in seen["captions"]:
            assert bottom - top >= 10, f"{name}: a caption cannot be seen"
            assert 0 <= left < right <= width + 1, name
        for words, contrast in seen["texts"]:
            assert contrast >= 4.5, f"{name}: {words!r} has a contrast of {contrast:.2f}"
    assert sum(len(seen["captions"]) for seen in cells.values()) >= IMAGES - CELLS["history"][1]
    return cells


@pytest.mark.parametrize(("width", "scheme"), [(600, "light"), (900, "light"), (1400, "light"), (900, "dark")])
def test_exported_html_reads_well(chromium: Any, executed: Executed, exported: Path, width: int, scheme: str) -> None:
    if scheme == "dark":
        exported = export(executed, "dark")
    context = chromium.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page = context.new_page()
    # The template of nbconvert asks for MathJax on a foreign host; nothing of this package asks for anything.
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if request.url.startswith("http") else None)
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(exported.as_uri())
    cells = look(page, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    assert {name: cells[name]["side"] for name in SIDE_BY_SIDE} == SIDE_BY_SIDE
    assert cells["one axis"]["side"] == (2 if width == 600 else 4), "they begin at one height"
    assert all("mathjax" in url.lower() or "require" in url.lower() for url in foreign), foreign
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"exported-{width}-{scheme}.png", full_page=True)
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_notebook_of_somebody_else_reads_well_in_jupyterlab(
    open_notebook: Any, executed: Executed, theme: str
) -> None:
    """JupyterLab does not trust it, strips what it does not know, and its images are still there."""
    page = open_notebook(executed.path, theme=theme, width=1200)
    page.errors.clear()  # the originals are not beside this copy; nothing asks for them
    page.page.wait_for_function("document.querySelectorAll('.jp-Cell img').length > 60")
    cells = look(page.page, 1200)
    assert {name: cells[name]["side"] for name in SIDE_BY_SIDE} == SIDE_BY_SIDE
    page.shoot(f"rendered-{theme}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_exported_history_opens_from_a_file(chromium: Any, executed: Executed, scheme: str) -> None:
    """With all its images and asking no one for anything."""
    context = chromium.new_context(viewport={"width": 800, "height": 1000}, color_scheme=scheme)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(executed.path.with_name("history.html").as_uri())
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert [url for url in asked if not url.startswith("data:")] == [page.url]
    assert page.locator("tbody tr").count() == 46
    assert page.evaluate("document.documentElement.scrollWidth") <= 800
    ground, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light"), "it follows the reader's system"
    assert ground != ink
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"history-{scheme}.png")
    context.close()
