"""The gallery: jobs newest first, each with its progress while it runs, then with its images or why it has none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...api.generation_request import GenerationRequest
from ...results.handle import JobHandle
from ...results.result import Result
from ...results.sweep_result import SweepResult
from ...session.session import Session
from ...view.grid import large_bundle
from ...view.markup import bounded, plural
from ...view.progress import fraction_of, status_text
from ..display.progress_display import LiveDisplay
from .image_grid import Cell, Content, ImageGrid, group
from .widgets import Ticks, Toolkit

KEPT = 12  # jobs that stay; older ones are in the history
SIDES = {1: 640, 2: 512, 3: 384, 4: 512}  # pixels of a thumbnail, by how many images there are
LASTING = 448  # pixels of a single image kept in the notebook
EMPTY = "Your images appear here. Press Generate for the first one."
UNCONFIRMED = (
    "Job {} may have been charged already, and then a second one is charged as well. Look at the website or the "
    "balance first."
)
STOPPED = "Stopped waiting. Job {} keeps running; its images will appear in History."
REMOVE = ("remove", "Remove", "Take it out of the gallery; its files and its history stay")
# What can be done with a job: (what the page sends, label, tooltip); the price stands on what is charged.
BUTTONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "running": (("stop", "Stop waiting", "Cancel it if it was not sent yet; otherwise stop waiting for it"),),
    "stopped": (("watch", "Watch again", "Wait for this job again, at no cost"), REMOVE),
    "failed": (("retry", "Try again \u00b7 {}", "Send the same request again"), REMOVE),
    "asked": (
        ("sure", "Make it again \u00b7 {}", "Dismiss the unconfirmed job and make another"),
        ("leave", "Leave it", "Make nothing; the job stays unconfirmed"),
    ),
    "done": (("again", "Run again \u00b7 {}", "Make all images of this request once more"), REMOVE),
}


class Card:
    """One job: what is known of it while it runs, then its result or the reason that there is none.

    Args:
        handle: of a job that is watched, else None. result: of one that is over.
    """

    def __init__(self, session: Session, number: int, handle: Any, result: Result | None) -> None:
        self.session, self.number, self.handle, self.result = session, number, handle, result
        self.key = f"{session.id}.{number}"
        self.request = handle.request if result is None else result.request
        self.state = "running" if result is None else "done"
        self.message = ""
        self.progress: tuple[float | None, str] = (None, "")
        if handle is not None:
            self._live = LiveDisplay([self.request], show=False, free=session.is_sandbox)
            handle.add_observer(self._live)

    def group(self) -> dict[str, Any]:
        """The job as the page shows it."""
        # Asked of the card's own session: the panel may be connected to another backend by now.
        price = self.session.estimate([self.request]).money
        buttons = [(what, label.format(price), tooltip) for what, label, tooltip in BUTTONS[self.state]]
        facts, cells = [self.message] if self.message else [], []
        if self.result is not None:
            images = plural(len(self.result), "image")
            facts, cells = [f"{images}, from this folder at no cost" if self.result.reused else images], [[self.key]]
        return group(
            self.key,
            f"Job {self.number}",
            bounded(self.request.prompt, 140),
            facts=facts,
            buttons=buttons,
            cells=cells,
            progress=self.state == "running",
        )

    def moved(self) -> bool:
        """Look at how far the job is; whether there is anything new to say."""
        (row,), before = self._live.rows(), self.progress[1]
        self.progress = (fraction_of(row), " \u00b7 ".join(filter(None, (status_text(row), row.detail))))
        return self.progress[1] != before


class Gallery:
    """The jobs of one panel.

    Args:
        on_done: called with a result, or with None for a job that has none. start_again: starts a request
            once more, by the name of a button; None if it was refused. use_as_source: called with an image and its
            session. echoed: what the page's echo does.
    """

    def __init__(
        self,
        kit: Toolkit,
        *,
        on_done: Callable[[Result | None], object],
        start_again: Callable[[str, GenerationRequest], object],
        use_as_source: Callable[..., object],
        echoed: Callable[..., object],
    ) -> None:
        self._kit = kit
        self._on_done = on_done
        self._start_again = start_again
        self.cards: list[Card] = []
        self.ticks = kit.track(Ticks(kit, self._tick))
        buttons = {what: self._pressed for offered in BUTTONS.values() for what, *_ in offered}
        self.grid = kit.track(ImageGrid(kit, "gallery", EMPTY, use_as_source, {**buttons, "echo": echoed}))

    @property
    def running(self) -> list[Card]:
        """The jobs that are watched: none once the panel is closed."""
        return [card for card in self.cards if card.state == "running" and self.ticks.running]

    def watch(self, handle: JobHandle, session: Session) -> None:
        """Put a job on top, and watch it."""
        with self._kit.lock:
            self._put(Card(session, handle.number, handle, None))
            self.ticks.start()

    def add(self, result: Result, session: Session) -> None:
        """Put a result on top; if it is there already it moves up."""
        self._put(Card(session, result.number, None, result))

    def _put(self, card: Card) -> None:
        # What still runs is never pushed out: its result would have no place to arrive at.
        cards = [card, *(old for old in self.cards if old.key != card.key)]
        self.cards = cards[:KEPT] + [old for old in cards[KEPT:] if old.state == "running"]
        self._show(card)

    def _show(self, changed: Card | None = None) -> None:
        """Lay the cards out; the images of one that has new ones are sent before."""
        if changed is not None and changed.result is not None:
            side = SIDES.get(len(changed.result), 256)
            self.grid.put({changed.key: Cell(changed.session, changed.result, side=side)})
        self.grid.show([card.group() for card in self.cards])

    # ---- what the buttons do ----

    def _pressed(self, content: Content) -> None:
        for card in [card for card in self.cards if card.key == content["group"]]:
            getattr(self, f"_{content['do']}")(card)
            self._show()

    def _stop(self, card: Card) -> None:
        """Cancel what was not sent; stop watching what was: it keeps running, and its images are saved."""
        if card.handle.cancel():
            self._remove(card)
        else:
            card.state, card.message = "stopped", STOPPED.format(card.number)

    def _watch(self, card: Card) -> None:
        """Wait for a job again; one that ended meanwhile hands its result over at the next tick."""
        card.state, card.message = "running", ""
        self.ticks.start()

    def _retry(self, card: Card) -> None:
        """Send it again; if the first one may have been charged, ask before."""
        if getattr(card.handle.exception(), "maybe_submitted", False):
            card.state, card.message = "asked", UNCONFIRMED.format(card.number)
        elif self._start_again("Try again", card.request):
            self._remove(card)

    def _sure(self, card: Card) -> None:
        card.session.dismiss(card.number)
        if self._start_again("Make it again", card.request):
            self._remove(card)

    def _leave(self, card: Card) -> None:
        """Say again why a job ended without images."""
        card.state, card.message = "failed", f"\u26a0 {card.handle.exception()}"

    def _again(self, card: Card) -> None:
        self._start_again("Run again", card.request)

    def _remove(self, card: Card) -> None:
        self.cards.remove(card)

    # ---- the ticker ----

    def _tick(self) -> bool:
        """Hand over what is done, and say how far the others are in one message."""
        done = [card for card in self.running if card.handle.done()]
        for card in done:
            self._kit.when(self._finish, card)()  # a fault in one must not keep the others waiting
        # One message for all: front ends count messages, and drop them above a limit.
        if told := {card.key: card.progress for card in self.running if card.moved()}:
            self.grid.send({"progress": told})
        if not self.running:
            self.ticks.close()
        return bool(done or told)

    def _finish(self, card: Card) -> None:
        if card.handle.cancelled():
            self._remove(card)
        elif card.handle.exception() is not None:
            self._leave(card)
        else:
            card.result, card.state = card.handle.result(), "done"
        self._show(card)
        self._on_done(card.result)


def persistent_output(result: Result | SweepResult, title: str) -> dict[str, Any]:
    """A result for the notebook itself, beneath the panel: a single image not as large as when it stands alone."""
    if isinstance(result, SweepResult) or len(result) != 1:
        return result.bundle(title=title)
    return large_bundle(replace(result[0], thumbnail_size=LASTING).tile(), title=title, most=LASTING)
