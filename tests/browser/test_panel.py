"""The panel in a real browser: JupyterLab, one page for most of it, as a person would use it."""

from __future__ import annotations

import base64
import io
import re
import time
from importlib import metadata

from packaging.version import Version
from PIL import Image

OPEN = "import kling_notebook as kling\npanel = kling.panel()\npanel"
SLOW = (
    "import kling_notebook as kling\nbox = kling.Sandbox(latency={latency}{more}).start()\n"
    "_ = kling.connect(api_key=box.key, base_url=box.base_url, sandbox=False)\npanel = kling.panel()\npanel"
)
SUBSHELLS = Version("7.0") <= Version(metadata.version("ipykernel")) < Version("7.4")
"""Callbacks come on a thread of their own, in the middle of a running cell."""
FIRST_GRID = 8.0
"""Seconds from the one click to the first grid, on the sandbox's own time."""


class Panel:
    """A panel in a page, by what a person sees."""

    def __init__(self, notebook, cell=0):
        self.notebook = notebook
        self.page = notebook.page
        self.area = notebook.cell(cell).locator(".jp-Cell-outputArea")
        self.button("Generate").wait_for()

    def button(self, name, exact=True):
        return self.area.get_by_role("button", name=name, exact=exact)

    def wait_disabled(self, name):
        self.area.get_by_role("button", name=name, exact=True, disabled=True).wait_for(timeout=5000)

    def field(self, label):
        return self.area.get_by_label(label, exact=True)

    def tab(self, name):
        self.area.get_by_role("tab", name=name).click()

    def fill(self, label, text):
        self.field(label).fill(text)
        self.field(label).blur()

    def generate(self, **values):
        for label, value in values.items():
            self.fill(label.replace("_", " "), value)
        self.button("Generate").click()

    def wait_results(self, count, timeout=40):
        """Until so many images stand in the gallery."""
        self.button("Larger").nth(count - 1).wait_for(timeout=timeout * 1000)

    def says(self, text, timeout=20):
        self.area.get_by_text(text).first.wait_for(timeout=timeout * 1000)

    def images(self):
        """The images of the gallery as the browser has them."""
        return self.area.locator(".widget-gridbox img").evaluate_all(
            "(all) => all.map((img) => ({natural: img.naturalWidth, ratio: img.naturalWidth / img.naturalHeight,"
            " width: img.getBoundingClientRect().width, alt: img.alt, src: img.src, href: img.closest('a')?.href}))"
        )


def value_of(page, code):
    """What the kernel says to an expression, asked for beside the cells."""
    return page.page.evaluate(
        """async (code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const future = kernel.requestExecute({code: '', user_expressions: {it: code}, store_history: false});
            const reply = await future.done;
            const said = reply.content.user_expressions.it;
            return said.data ? said.data['text/plain'] : said.evalue;
        }""",
        code,
    )


def opened(open_notebook, *cells, **options):
    notebook = open_notebook(list(cells), **options)
    notebook.run_all()
    assert notebook.failed_cells() == []
    return Panel(notebook)


def test_from_the_page_to_the_first_grid_is_one_click_and_a_few_seconds(open_notebook):
    panel = opened(open_notebook, OPEN, width=1400)
    assert panel.images() == []
    began = time.monotonic()
    panel.button("Generate").click()
    panel.area.get_by_role("progressbar").wait_for()
    panel.wait_results(1)
    took = time.monotonic() - began
    assert took <= FIRST_GRID, f"{took:.1f} s"
    (image,) = panel.images()
    assert image["natural"] > 0
    assert image["width"] > 300
    assert "mountain landscape" in image["alt"]
    panel.notebook.shoot("panel-light-1400")


def test_a_day_at_the_panel(open_notebook):  # noqa: PLR0915  # one page, since opening one is what takes long
    """One page for what people do: shapes and counts, two at once, source, star, compare, history, explore, code."""
    panel = opened(open_notebook, SLOW.format(latency=1, more=""), "1", width=1000, theme="dark")
    page, notebook = panel.page, panel.notebook

    # Type, choose, and see as many images of that shape, each linked to an original that is there.
    panel.field("Aspect ratio").select_option("21:9")
    panel.generate(Prompt="a city by the sea at night, neon", Images="4")
    panel.area.get_by_role("progressbar").wait_for()
    panel.generate(
        Prompt="<img src=x onerror=\"window.struck = 1\"> <script>window.struck = 1</script> $x^2$ 'a'", Images="1"
    )
    panel.area.get_by_role("progressbar").nth(1).wait_for()
    panel.wait_results(5)
    images = panel.images()
    assert all(2.2 < image["ratio"] < 2.5 for image in images)
    city = [image for image in images if "neon" in image["alt"]]
    assert len({image["src"] for image in city}) == 4
    original = page.request.get(city[0]["href"])
    assert Image.open(io.BytesIO(original.body())).width > 1024
    shown = Image.open(io.BytesIO(base64.b64decode(city[0]["src"].partition(",")[2]))).convert("RGB").resize((1, 1))
    whole = Image.open(io.BytesIO(original.body())).convert("RGB").resize((1, 1))
    assert all(abs(a - b) < 12 for a, b in zip(shown.getpixel((0, 0)), whole.getpixel((0, 0)), strict=True))
    assert page.evaluate("window.struck") is None, "a prompt ran as a script"

    # Under an image: larger, star, compare two, the recipe.
    panel.button("Larger").first.click()
    panel.button("Close").first.wait_for()
    page.wait_for_function("document.querySelectorAll('.widget-output a').length === 6")
    large = panel.area.locator(".widget-output a").first  # above the tiles of its card
    assert large.bounding_box()["width"] > 300
    assert Image.open(io.BytesIO(page.request.get(large.evaluate("(a) => a.href")).body())).width > 1024
    panel.button("Close").first.click()
    panel.button("☆ Star").first.click()
    panel.button("★ Starred").first.wait_for()
    panel.button("Compare").nth(0).click()
    panel.button("Compare").nth(1).click()
    panel.says("Same in both")
    panel.button("Recipe").first.click()
    panel.says("kling_notebook recipe")
    panel.button("Close").first.click()

    # Image to image from a shown image.
    panel.field("Aspect ratio").select_option("4:3")
    panel.fill("Prompt", "a fox in the snow")
    panel.button("Generate").click()
    panel.wait_results(6)
    panel.button("Use as source").first.click()
    page.wait_for_function("[...document.querySelectorAll('input')].some((field) => field.value === '3a')")
    panel.generate(Prompt="the same as a watercolour")
    panel.wait_results(7)
    assert "'3a'" in value_of(notebook, "panel.gallery.cards[0].result.request.image.label")
    panel.button("Remove").click()
    panel.notebook.shoot("panel-dark-1000")

    # The history loads a row back, code and all.
    panel.tab("History")
    panel.fill("Search", "neon")
    panel.says("1 to 1 of 1 job")
    panel.button("Load").click()
    page.wait_for_function("[...document.querySelectorAll('textarea')].some((t) => t.value.includes('neon'))")
    panel.tab("Code")
    expected = "%%kling --aspect-ratio 21:9 --num-outputs 4\na city by the sea at night, neon"
    page.wait_for_function(
        "(code) => [...document.querySelectorAll('textarea')].some((t) => t.value === code)", arg=expected
    )
    panel.notebook.shoot("panel-dark-1000-code")

    # Explore: a sweep, then its sliders move among what is bought and buy nothing.
    panel.tab("Explore")
    panel.field("Vary").select_option(label="Resolution")
    panel.button("Run the sweep").click()
    panel.says("all here", 60)
    bought = value_of(notebook, "box.count('submit')")
    image = panel.area.locator(".widget-output img:visible").last
    before = image.get_attribute("src")
    panel.area.get_by_role("slider").press("ArrowRight")
    deadline = time.monotonic() + 15
    while image.get_attribute("src") == before:
        assert time.monotonic() < deadline, "the slider showed no other image"
        page.wait_for_timeout(100)
    assert value_of(notebook, "box.count('submit')") == bought == "5", "one of the two was in the folder already"
    panel.notebook.shoot("panel-dark-1000-explore")


def test_what_goes_wrong_is_said_where_it_happens(open_notebook):
    faults = ", credits=3, faults=[kling.sandbox.Fault('submit', 'failed', at=1, error='too dark')]"
    source = SLOW.format(latency=4, more=faults).replace("import", "import kling_notebook.sandbox\nimport", 1)
    panel = opened(open_notebook, source, width=600)
    # A failing job: the reason, and Try again.
    panel.button("Generate").click()
    panel.says("too dark")
    panel.notebook.shoot("panel-light-600-failed")
    panel.button("Try again").click()
    # Stop waiting; the job goes on and can be watched again.
    panel.says("running")
    panel.button("Stop waiting").click()
    panel.says("keeps running")
    panel.button("Watch again").click()
    panel.wait_results(1)
    # Out of credits.
    panel.generate(Prompt="too much", Images="3")
    panel.says(re.compile("[Cc]redits"))
    panel.button("Try again").wait_for()
    # Bad input beside its field, and nothing wider than the page.
    panel.fill("Prompt", " ")
    panel.says("The prompt is empty")
    panel.wait_disabled("Generate")
    wide = panel.area.evaluate("(area) => area.scrollWidth - area.clientWidth")
    assert wide <= 1, f"{wide} pixels too wide at 600"
    assert value_of(panel.notebook, "box.count('submit')") == "3"


def image_bytes(size, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, (180, 90, 40)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_uploads_good_and_bad(open_notebook):
    panel = opened(open_notebook, OPEN)

    def choose(name, data):
        with panel.page.expect_file_chooser() as chooser:
            panel.button(re.compile("Upload an image"), exact=False).click()
        chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": data})

    moving = image_bytes((400, 400), "GIF", save_all=True, append_images=[Image.new("RGB", (400, 400))])
    bad = [
        ("moving.gif", moving, "moving.gif is"),
        ("text.png", b"this is no image", "text.png is"),
        ("tiny.png", image_bytes((10, 10)), "10 x 10 pixels"),
    ]
    for name, data, says in bad:
        choose(name, data)
        panel.says(says, 40)
        panel.wait_disabled("Generate")
    choose("good.png", image_bytes((500, 500)))
    panel.area.get_by_role("img", name=re.compile("source image")).wait_for()
    panel.button("Generate").click()
    panel.wait_results(1)


def test_a_page_that_is_loaded_again_has_the_panel_as_it_was_and_one_without_a_kernel_the_image(open_notebook):
    panel = opened(open_notebook, OPEN)
    panel.generate(Prompt="a lighthouse in a storm", Images="2")
    panel.wait_results(2)
    panel.notebook.save()
    panel.page.reload()
    panel.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    again = Panel(panel.notebook)
    assert again.field("Prompt").input_value() == "a lighthouse in a storm"
    assert again.field("Images").input_value() == "2"
    assert len(again.images()) == 2
    again.generate(Prompt="and it still works")
    again.wait_results(4)
    saved = again.notebook.save()
    plain = [output for output in saved.cells[0].outputs if "image/jpeg" in output.get("data", {})]
    assert len(plain) == 1
    html = plain[0]["data"]["text/html"]
    assert "a lighthouse in a storm" in html
    assert not re.search(r"<(script|style|button|form)|\son\w+=", html)
    # The kernel goes, and another begins: the widgets are dead, the image is not.
    again.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    again.page.reload()
    again.page.locator(".jp-OutputArea img[alt='a lighthouse in a storm']").first.wait_for(timeout=60_000)
    again.notebook.errors.clear()  # JupyterLab says that the dead models are gone


def test_keyboard_alone(open_notebook):
    panel = opened(open_notebook, OPEN)
    page = panel.page
    panel.field("Prompt").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("a boat made of paper")

    def tab_to(name, most=25):
        for _ in range(most):
            page.keyboard.press("Tab")
            if name in page.evaluate("[document.activeElement.id, document.activeElement.textContent.trim()]"):
                return
        raise AssertionError(f"no way to {name} by Tab")

    ratio = panel.field("Aspect ratio").get_attribute("id")
    tab_to(ratio)
    for key in ("Space", "ArrowDown", "Enter"):  # a list that is closed leaves its arrows to the notebook
        page.keyboard.press(key)
    tab_to("Generate")
    page.keyboard.press("Enter")
    panel.wait_results(1)
    tab_to("Larger")
    page.keyboard.press("Enter")
    panel.button("Close").first.wait_for()
    assert "a boat made of paper" in panel.images()[0]["alt"]


def test_a_cell_that_runs_for_long_beside_a_running_job(open_notebook):
    panel = opened(open_notebook, SLOW.format(latency=2, more=""))
    panel.button("Generate").click()
    panel.says("running")
    panel.page.evaluate(
        """(code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            window.allRun = kernel.requestExecute({code}).done;
        }""",
        "import time\nfor _ in range(100): time.sleep(0.1)",
    )
    panel.wait_results(1, 10)
    busy = panel.page.evaluate("document.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status")
    assert busy == "busy", "the image came while the cell ran"
    meanwhile = SUBSHELLS  # the kernel answers buttons beside a running cell
    if not meanwhile:
        panel.says("A cell is running", 5)
    panel.field("Prompt").select_text()
    panel.page.keyboard.type("asked for meanwhile")  # letter by letter: the page holds most of them back
    panel.button("Generate").click()
    panel.wait_results(2)
    busy = panel.page.evaluate("document.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status") == "busy"
    assert busy or not meanwhile, "on such a kernel the image comes while the cell runs"
    panel.notebook.wait_idle()
    asked = value_of(panel.notebook, "panel.gallery.cards[0].result.request.prompt")
    assert asked == "'asked for meanwhile'", "a press must not overtake what was typed before it"
    assert value_of(panel.notebook, "box.count('submit')") == "2"
    assert panel.area.get_by_text("A cell is running").count() == 0


def test_a_kernel_that_is_restarted_under_the_page_buys_nothing_and_a_new_panel_works(open_notebook):
    panel = opened(open_notebook, OPEN)
    panel.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    panel.notebook.wait_for_kernel()
    if panel.button("Generate").count():
        panel.button("Generate").first.click()
    panel.notebook.errors.clear()  # what JupyterLab says of the models that are gone
    panel.notebook.run_all()
    again = Panel(panel.notebook)
    again.generate(Prompt="after the restart")
    again.wait_results(1)
    assert value_of(again.notebook, "panel._session().count()") == "1"


def test_voila_shows_the_panel_and_the_first_grid_in_one_click(chromium, voila):
    import nbformat

    path = voila.folder / "panel.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(OPEN)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.goto(f"{voila.url}/voila/render/panel.ipynb")
    button = page.get_by_role("button", name="Generate")
    button.wait_for(timeout=60_000)
    began = time.monotonic()
    button.click()
    page.get_by_role("button", name="Larger").first.wait_for(timeout=40_000)
    assert time.monotonic() - began <= FIRST_GRID
    size = page.locator(".widget-gridbox img").first.evaluate("(img) => img.naturalWidth")
    assert size > 0
    page.close()
