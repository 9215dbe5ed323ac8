"""The panel in a real browser: JupyterLab, one page for most of it, as a person would use it."""

from __future__ import annotations

import io
import re
import time
from importlib import metadata

import pytest
from packaging.version import Version
from PIL import Image

pytestmark = pytest.mark.timeout(900)

OPEN = "import kling_notebook as kling\npanel = kling.panel()\npanel"
SLOW = (
    "import kling_notebook as kling\nbox = kling.Sandbox(latency={latency}{more}).start()\n"
    "_ = kling.connect(api_key=box.key, base_url=box.base_url, sandbox=False)\npanel = kling.panel()\npanel"
)
SUBSHELLS = Version("7.0") <= Version(metadata.version("ipykernel")) < Version("7.4")
"""Callbacks come on a thread of their own, in the middle of a running cell."""
FIRST_GRID = 60.0
"""Seconds from the one click to the first grid: about five on an idle machine, and a machine may be busy."""


class Panel:
    """A panel in a page, by what a person sees."""

    def __init__(self, notebook, cell=0):
        self.notebook = notebook
        self.page = notebook.page
        self.area = notebook.cell(cell).locator(".jp-Cell-outputArea")
        self.generate_button.wait_for()

    def button(self, name, exact=True):
        return self.area.get_by_role("button", name=name, exact=exact)

    @property
    def generate_button(self):
        """Its price stands on it."""
        return self.button(re.compile("^Generate"), exact=False)

    def wait_disabled(self, name):
        self.area.get_by_role("button", name=re.compile(f"^{name}"), disabled=True).wait_for(timeout=20_000)

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
        self.generate_button.click()

    def wait_results(self, count, timeout=120):
        """Until so many images stand in the gallery."""
        self.area.locator(".kling-tile img").nth(count - 1).wait_for(timeout=timeout * 1000)

    def says(self, text, timeout=90):
        self.area.get_by_text(text).first.wait_for(timeout=timeout * 1000)

    def images(self):
        """The images of the gallery as the browser has them."""
        return self.area.locator(".kling-tile img").evaluate_all(
            "(all) => all.map((img) => ({natural: img.naturalWidth, ratio: img.naturalWidth / img.naturalHeight,"
            " width: img.getBoundingClientRect().width, alt: img.alt, src: img.src}))"
        )

    def tile(self, place):
        return self.area.locator(".kling-tile").nth(place)

    def download(self):
        """The original of the selected image, as the button saves it."""
        with self.page.expect_download() as began:
            self.button("Download").click()
        return Image.open(io.BytesIO(began.value.path().read_bytes()))


def value_of(page, code):
    """What the kernel says to an expression, asked for beside the cells."""
    return page.page.evaluate(
        """async (code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const future = kernel.requestExecute({code: '', user_expressions: {it: code}, store_history: false});
            const reply = await future.done;
            const message = reply.content.user_expressions.it;
            return message.data ? message.data['text/plain'] : message.evalue;
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
    panel.generate_button.click()
    panel.area.get_by_role("progressbar").wait_for()
    panel.wait_results(1)
    took = time.monotonic() - began
    assert took <= FIRST_GRID, f"{took:.1f} s"
    (image,) = panel.images()
    assert image["natural"] > 0
    assert image["width"] > 300
    assert "mountain landscape" in image["alt"]
    panel.notebook.shoot("panel-light-1400")


@pytest.mark.long
def test_a_day_at_the_panel(open_notebook):  # noqa: PLR0915  # one page, since opening one is what takes long
    """One page for what people do: shapes and counts, two at once, source, star, compare, history, explore, code."""
    panel = opened(open_notebook, SLOW.format(latency=1, more=""), "1", width=1000, theme="dark")
    page, notebook = panel.page, panel.notebook

    # Type, choose, and see as many images of that shape, each linked to an original that is there.
    panel.field("Aspect ratio").select_option("21:9")
    panel.generate(Prompt="a city by the sea at night, neon", Images="4")
    panel.says("Job 1")
    panel.generate(
        Prompt="<img src=x onerror=\"window.struck = 1\"> <script>window.struck = 1</script> $x^2$ 'a'", Images="1"
    )
    panel.says("Job 2")
    panel.wait_results(5)
    images = panel.images()
    assert all(2.2 < image["ratio"] < 2.5 for image in images)
    city = [image for image in images if "neon" in image["alt"]]
    assert len({image["src"] for image in city}) == 4
    panel.area.locator(".kling-tile", has=page.locator("img[alt*=neon]")).first.click()
    assert panel.download().width > 1024
    assert page.evaluate("window.struck") is None, "a prompt ran as a script"

    # Under the selected image: larger, star, compare two, the recipe. A pressed button shows it.
    panel.button("Larger").click()
    page.wait_for_function("document.querySelector('.kling-detail img')?.naturalWidth > 1024")
    assert panel.button("Larger").get_attribute("aria-pressed") == "true"
    small = panel.area.locator(".kling-tile[aria-pressed=true] img").bounding_box()
    assert panel.area.locator(".kling-detail img").bounding_box()["width"] > 0.9 * 1000 > 1.5 * small["width"]
    page.keyboard.press("ArrowRight")
    panel.area.locator(".kling-detail figcaption").get_by_text("1b").wait_for()
    page.keyboard.press("Escape")
    panel.area.locator(".kling-detail").wait_for(state="detached")
    panel.button("☆ Star").click()
    panel.button("★ Starred").wait_for()
    panel.button("Compare").click()
    panel.says("is chosen. Now select another image")
    panel.tile(0).click()
    panel.button(re.compile("^Compare with"), exact=False).click()
    panel.says("What differs from")
    both = "[...document.querySelectorAll('.kling-detail img')].filter((img) => img.naturalWidth > 1024).length === 2"
    page.wait_for_function(both)  # each large image that arrives draws everything anew
    for width in (1000, 600):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        left, right = (panel.area.locator(".kling-detail img").nth(k).bounding_box() for k in (0, 1))
        assert left["y"] == right["y"], "side by side"
        assert left["x"] + left["width"] < right["x"]
        assert left["width"] > 0.4 * width
    page.set_viewport_size({"width": 1000, "height": 900})
    differ = panel.area.locator(".kling-detail pre")
    assert differ.evaluate("(pre) => getComputedStyle(pre).wordBreak") == "normal", "lines break between words"
    panel.button("Close").click()
    panel.button("Recipe").click()
    panel.says("kling_notebook recipe")
    panel.button("Close").click()

    # Image to image from a shown image.
    panel.field("Aspect ratio").select_option("4:3")
    panel.fill("Prompt", "a fox in the snow")
    panel.generate_button.click()
    panel.wait_results(6)
    panel.button("Use as source").click()
    page.wait_for_function("[...document.querySelectorAll('input')].some((field) => field.value === '3a')")
    # Its preview moves the button: a press that is released beside it is none.
    panel.area.get_by_role("img", name=re.compile("^source image")).wait_for()
    panel.generate(Prompt="the same as a watercolour")
    panel.wait_results(7)
    assert "'3a'" in value_of(notebook, "panel.gallery.cards[0].result.request.image.label")
    panel.button("Remove image").click()
    panel.notebook.shoot("panel-dark-1000")

    # The history loads a row back, code and all.
    panel.tab("History")
    panel.fill("Search", "neon")
    panel.says("1 to 1 of 1 job")
    panel.button("Use these settings").first.click()
    page.wait_for_function("[...document.querySelectorAll('textarea')].some((t) => t.value.includes('neon'))")
    panel.tab("Code")
    expected = "%%kling --aspect-ratio 21:9 --num-outputs 4\na city by the sea at night, neon"
    page.wait_for_function(
        "(code) => [...document.querySelectorAll('textarea')].some((t) => t.value === code)", arg=expected
    )
    panel.notebook.shoot("panel-dark-1000-code")

    panel.tab("Create")
    panel.fill("Images", "1")
    # Explore: a labeled grid; the selected image is large beside it, and looking charges nothing.
    panel.tab("Explore")
    panel.fill("Prompt, one per line", "a {color} fox in the snow")
    panel.fill("{color}", "red\nwhite")
    panel.field("Also vary").select_option(label="Resolution")
    panel.says("2 x 2 = 4 jobs")
    panel.button(re.compile("^Make 4 images"), exact=False).click()
    panel.says("All images are here", 90)
    charged = value_of(notebook, "box.count('submit')")
    grid = panel.area.locator(".kling-sweep:visible")
    assert grid.locator("th[scope=col]").all_inner_texts() == ["1K", "2K"]
    assert grid.locator("th[scope=row]").all_inner_texts() == ["red", "white"]
    grid.locator(".kling-tile").first.click()
    large = grid.locator("figure img")
    before = large.get_attribute("src")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(before) => document.querySelector('.kling-sweep figure img').src !== before", arg=before)
    page.wait_for_function("document.querySelector('.kling-sweep figure img').naturalWidth >= 1024")
    page.keyboard.press("ArrowDown")
    # Asked of the page in one go, here and below: the large image that arrives meanwhile draws everything anew.
    page.wait_for_function("document.activeElement.matches('.kling-sweep .kling-tile[aria-pressed=true]')")
    for width in (600, 900, 1400):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(300)
        assert page.evaluate("document.querySelector('.kling-sweep figure img').clientHeight") <= 0.6 * 800 + 1
        wide = panel.area.evaluate("(area) => area.scrollWidth - area.clientWidth")
        assert wide <= 1, f"{wide} pixels too wide at {width}"
    assert value_of(notebook, "box.count('submit')") == charged == "8"
    panel.notebook.shoot("panel-dark-1400-explore")


@pytest.mark.long
def test_what_goes_wrong_is_shown_where_it_happens(open_notebook):
    faults = ", credits=3, faults=[kling.sandbox.Fault('submit', 'failed', at=1, error='too dark')]"
    source = SLOW.format(latency=4, more=faults).replace("import", "import kling_notebook.sandbox\nimport", 1)
    panel = opened(open_notebook, source, width=600)
    # A failing job: the reason, and Try again.
    panel.generate_button.click()
    panel.says("too dark")
    panel.notebook.shoot("panel-light-600-failed")
    panel.button(re.compile("^Try again"), exact=False).click()
    # Stop waiting; the job continues and can be watched again.
    panel.says("running")
    panel.button("Stop waiting").click(delay=700)  # held for longer than it takes to say how far the job is
    panel.says("keeps running")
    panel.button("Watch again").click()
    panel.wait_results(1)
    # Out of credits.
    panel.generate(Prompt="too much", Images="3")
    panel.says(re.compile("[Cc]redits"))
    panel.button(re.compile("^Try again"), exact=False).wait_for()
    # Bad input beside its field, and nothing wider than the page.
    panel.fill("Prompt", " ")
    panel.says("The prompt is empty")
    panel.wait_disabled("Generate")
    wide = panel.area.evaluate("(area) => area.scrollWidth - area.clientWidth")
    assert wide <= 1, f"{wide} pixels too wide at 600"
    assert value_of(panel.notebook, "box.count('submit')") == "3"


@pytest.mark.long
def test_a_recipe_is_read_and_a_button_is_held_while_another_job_runs_and_ends(open_notebook):
    latency = "lambda _, seconds=iter([1, 20]): next(seconds)"
    panel = opened(open_notebook, SLOW.format(latency=latency, more=""), width=1000)
    page, mouse = panel.page, panel.page.mouse
    panel.generate(Prompt="a fox in the snow")
    panel.wait_results(1)
    panel.generate(Prompt="an owl in the snow")
    panel.button("Recipe").click()
    recipe = panel.area.locator("pre").last
    recipe.wait_for()
    before = recipe.evaluate(
        "(pre) => { pre.scrollTop = 90; getSelection().selectAllChildren(pre); return pre.scrollTop; }"
    )
    assert before > 0, "there is something to scroll"
    marked, line = page.evaluate("getSelection().toString()"), panel.area.locator("[data-progress]").first
    told = {line.inner_text()}
    while len(told) < 4:
        told.add(line.inner_text())
        page.wait_for_timeout(50)
    assert recipe.evaluate("(pre) => pre.scrollTop") == before
    assert page.evaluate("getSelection().toString()") == marked
    # A job that ends draws everything anew, but not under a finger.
    star = panel.button("\u2606 Star").bounding_box()
    mouse.move(star["x"] + star["width"] / 2, star["y"] + star["height"] / 2)
    mouse.down()
    while value_of(panel.notebook, "[card.state for card in panel.gallery.cards]") != "['done', 'done']":
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)
    assert len(panel.images()) == 1
    mouse.up()
    panel.wait_results(2)
    assert value_of(panel.notebook, "[sorted(card.result.starred) for card in panel.gallery.cards]") == "[[], [0]]"


@pytest.mark.long
def test_the_slider_of_a_third_axis_can_be_dragged_there_and_back(open_notebook):
    panel = opened(open_notebook, SLOW.format(latency=0.3, more=""), width=1000)
    mouse = panel.page.mouse
    panel.tab("Explore")
    panel.fill("Prompt, one per line", "a {color} {animal} in the snow")
    panel.fill("{color}", "red\nwhite")
    panel.fill("{animal}", "fox\ncat")
    panel.field("Also vary").select_option(label="Resolution")
    panel.says("2 x 2 x 2 = 8 jobs")
    panel.button(re.compile("^Make 8 images"), exact=False).click()
    panel.says("All images are here")
    slider = panel.area.get_by_role("slider").and_(panel.page.locator(":visible"))
    box = slider.bounding_box()
    left, right, y = box["x"] + 5, box["x"] + box["width"] - 5, box["y"] + box["height"] / 2
    shown = []
    mouse.move(left, y)
    mouse.down()
    for x in (right, left, right):
        mouse.move(x, y)
        shown.append(slider.get_attribute("aria-valuetext"))
    mouse.up()
    assert shown == ["white", "red", "white"]
    panel.notebook.shoot("panel-light-1000-slider")


def image_bytes(size, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, (180, 90, 40)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.long
def test_uploads_good_and_bad(open_notebook):
    panel = opened(open_notebook, OPEN)

    def choose(name, data):
        with panel.page.expect_file_chooser() as chooser:
            panel.button(re.compile("Upload an image"), exact=False).click()
        chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": data})

    moving = image_bytes((400, 400), "GIF", save_all=True, append_images=[Image.new("RGB", (400, 400))])
    bad = [
        ("moving.gif", moving, "moving.gif is"),
        ("text.png", b"this is not an image", "text.png is"),
        ("tiny.png", image_bytes((10, 10)), "10 x 10 pixels"),
    ]
    for name, data, says in bad:
        choose(name, data)
        panel.says(says, 40)
        panel.wait_disabled("Generate")
    choose("good.png", image_bytes((500, 500)))
    panel.area.get_by_role("img", name=re.compile("source image")).wait_for()
    panel.generate_button.click()
    panel.wait_results(1)


@pytest.mark.long
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
    again.wait_results(2)  # the page asks the kernel for them
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


@pytest.mark.long
def test_keyboard_alone(open_notebook):
    panel = opened(open_notebook, OPEN)
    page = panel.page
    panel.field("Prompt").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("a boat made of paper")

    def tab_to(name, most=40):
        for _ in range(most):
            page.keyboard.press("Tab")
            here = page.evaluate("[document.activeElement.id, document.activeElement.textContent.trim()]")
            if any(text.startswith(name) for text in here):
                return
        raise AssertionError(f"no way to {name} by Tab")

    ratio = panel.field("Aspect ratio").get_attribute("id")
    tab_to(ratio)
    for key in ("Space", "ArrowDown", "Enter"):  # a list that is closed leaves its arrows to the notebook
        page.keyboard.press(key)
    tab_to("Generate")
    page.keyboard.press("Enter")
    panel.wait_results(1)
    panel.field("Prompt").focus()
    page.keyboard.press("Control+Enter")
    panel.wait_results(2)
    tab_to("2a")
    page.keyboard.press("Enter")
    panel.button("Close").wait_for()
    assert "a boat made of paper" in panel.images()[0]["alt"]
    page.keyboard.press("Escape")
    panel.area.locator(".kling-detail").wait_for(state="detached")


@pytest.mark.long
def test_a_cell_that_runs_for_long_beside_a_running_job(open_notebook):
    panel = opened(open_notebook, SLOW.format(latency=2, more=""))
    panel.generate_button.click()
    panel.says("running")
    # The cell runs until this test has seen what it came for, however slow the machine is. What JupyterLab shows of the
    # kernel does not tell: a reply of another thread makes it idle.
    panel.page.evaluate(
        """(code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            window.allRun = kernel.requestExecute({code}).done;
            window.allRun.then(() => { window.ended = true; });
        }""",
        "import pathlib, time\nwhile not pathlib.Path('over').exists(): time.sleep(0.1)",
    )
    panel.says("A cell is running")
    panel.wait_results(1)
    assert not panel.page.evaluate("window.ended"), "the image came while the cell ran"
    panel.field("Prompt").select_text()
    panel.page.keyboard.type("asked for meanwhile")  # letter by letter: the page holds most of them back
    panel.generate_button.click()
    if SUBSHELLS:
        panel.wait_results(2)
        assert not panel.page.evaluate("window.ended"), "on such a kernel the image comes while the cell runs"
    (panel.notebook.path.parent / "over").touch()
    panel.wait_results(2)
    panel.notebook.wait_idle()
    asked = value_of(panel.notebook, "panel.gallery.cards[0].result.request.prompt")
    assert asked == "'asked for meanwhile'", "a press must not overtake what was typed before it"
    assert value_of(panel.notebook, "box.count('submit')") == "2"
    panel.area.get_by_text("A cell is running").wait_for(state="detached")


@pytest.mark.long
def test_a_kernel_that_is_restarted_under_the_page_buys_nothing_and_a_new_panel_works(open_notebook):
    panel = opened(open_notebook, OPEN)
    panel.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    panel.notebook.wait_for_kernel()
    if panel.generate_button.count():
        panel.generate_button.first.click()
    panel.notebook.errors.clear()  # what JupyterLab says of the models that are gone
    panel.notebook.run_all()
    again = Panel(panel.notebook)
    again.generate(Prompt="after the restart")
    again.wait_results(1)
    assert value_of(again.notebook, "panel._session().count()") == "1"


@pytest.mark.long
def test_voila_shows_the_panel_and_the_first_grid_in_one_click(chromium, voila):
    import nbformat

    path = voila.folder / "panel.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(OPEN)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    page.goto(f"{voila.url}/voila/render/panel.ipynb", timeout=200_000)
    button = page.get_by_role("button", name="Generate")
    button.wait_for(timeout=150_000)
    began = time.monotonic()
    button.click()
    page.locator(".kling-tile img").first.wait_for(timeout=40_000)
    assert time.monotonic() - began <= FIRST_GRID
    size = page.locator(".kling-tile img").first.evaluate("(img) => img.naturalWidth")
    assert size > 0
    # With a source image, too, the button stands on the first screen. Beside Upload stands no count of files.
    page.get_by_role("button", name="Use as source").click()
    page.get_by_role("img", name=re.compile("^source image")).wait_for()
    page.wait_for_timeout(300)
    box = button.bounding_box()
    assert box["y"] + box["height"] <= 768
    upload = page.get_by_role("button", name="Upload an image")
    assert upload.evaluate("(button) => getComputedStyle(button).fontSize") == "0px"
    assert "Upload an image" in upload.evaluate("(button) => getComputedStyle(button, '::after').content")
    page.close()
