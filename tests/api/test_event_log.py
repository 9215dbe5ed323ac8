"""What happened to each job is kept, whatever logging is configured, and never holds the key or a prompt."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.api import event_log
from kling_notebook.api.errors import JobFailedError
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session


@pytest.fixture(autouse=True)
def empty_log(monkeypatch: pytest.MonkeyPatch) -> None:
    event_log._lines.clear()


def events() -> list[str]:
    """The lines without their time and level."""
    return [line.split(None, 3)[3] for line in event_log.log_lines() if " INFO " in line]


def test_each_step_of_a_job_is_a_line_with_its_number_id_and_credits(session: Session, sandbox: Sandbox) -> None:
    result = session.start([session.request("a secret fox", num_outputs=2)], source="python").handles[0].result(30)
    job = f", {result.job_id}"
    assert events() == ["job 1 submitted", f"job 1 accepted{job}, 2 credits", f"job 1 completed{job}, 2 credits"]
    text = "\n".join(event_log.log_lines())
    assert "secret fox" not in text
    assert sandbox.key not in text


@pytest.mark.parametrize(
    ("fault", "ending"),
    [(Fault("poll", "failed"), "failed"), (Fault("submit", "drop_after"), "unconfirmed"),
     (Fault("submit", "status", status=400), "rejected")],
)  # fmt: skip
def test_what_went_wrong_is_a_line_too(
    fault: Fault, ending: str, make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    session = make_session(make_sandbox(faults=[fault]))
    session.start([session.request("a fox")], source="python").handles[0].exception(30)
    assert events()[-1].startswith(f"job 1 {ending}")
    assert JobFailedError


def test_the_logger_gets_the_lines_and_its_level_stays_the_users(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("kling_notebook")
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])
    with caplog.at_level(logging.INFO, logger="kling_notebook"):
        session.start([session.request("a fox")], source="python").handles[0].result(30)
    assert [record.levelname for record in caplog.records] == ["INFO"] * 3


def test_an_observer_that_raises_is_logged_and_stops_nothing(session: Session) -> None:
    def broken(_: Any) -> None:
        raise ValueError("a prompt")

    handle = session.start([session.request("a fox")], source="python").handles[0]
    handle.add_observer(broken)
    handle.result(30)
    assert "a job's observer: ValueError was suppressed" in "\n".join(event_log.log_lines())
    assert "a prompt" not in "\n".join(event_log.log_lines())


def test_only_the_last_lines_are_kept() -> None:
    for k in range(event_log.LINES_KEPT + 10):
        event_log.log_event(logging.DEBUG, f"line {k}")
    assert len(event_log.log_lines()) == event_log.LINES_KEPT
    assert event_log.log_lines()[-1].endswith(f"line {event_log.LINES_KEPT + 9}")


def test_a_handler_of_the_user_that_raises_costs_no_paid_job(session: Session, sandbox: Sandbox) -> None:
    class Broken(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            raise RuntimeError("the widget is gone")

    logger, level = logging.getLogger("kling_notebook"), logging.getLogger("kling_notebook").level
    handler = Broken()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        session.start([session.request("a fox")], source="python").handles[0].result(timeout=60)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert sandbox.count("submit") == 1
