"""The cost is reported before it is spent, and what is not allowed is not sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kling_notebook.api.client import ServiceClient
from kling_notebook.api.errors import BudgetExceededError, InputError, InsufficientCreditsError, KlingError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import JobStatus, Snapshot
from kling_notebook.api.quantities import duration
from kling_notebook.jobs import dispatcher
from kling_notebook.jobs.client import KlingClient
from kling_notebook.jobs.running_job import RunningJob
from kling_notebook.jobs.send_permit import CancelledError
from kling_notebook.jobs.spending import Estimate, SpendingLimits, call_time, price
from kling_notebook.journal.job_record import Record, new_record
from kling_notebook.journal.journal import Journal
from kling_notebook.sandbox import Fault
from kling_notebook.session.session import Session

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox


def results_of(session: Session, *requests: GenerationRequest, **options: object) -> list[object]:
    batch = session.start(requests, source="python", **options)  # type: ignore[arg-type]
    return [handle.result(timeout=60) for handle in batch.handles]


@pytest.mark.parametrize(
    ("limits", "call", "spent", "allowed"),
    [
        (SpendingLimits(None, None, 25), 0, 0, True),
        (SpendingLimits(None, None, 4), 0, 0, False),
        (SpendingLimits(5, None, 4), 0, 0, True),
        (SpendingLimits(4.5, None, 25), 0, 0, False),
        (SpendingLimits(5, None, 25), 1, 0, False),
        (SpendingLimits(None, 5, 4), 0, 0, True),
        (SpendingLimits(None, 5, 25), 0, 1, False),
        (SpendingLimits(5, 5, 25), 0, 1, False),
        (SpendingLimits(100, 4, 25), 0, 0, False),
    ],
)
def test_limits_allow_or_refuse(limits: SpendingLimits, call: float, spent: float, allowed: bool) -> None:
    """max_credits, the budget and the ceiling; a budget replaces the ceiling, and both hold if both are given."""
    estimate = Estimate(1, 5, 5.0)
    if allowed:
        limits.check(estimate, call_spent=call, session_spent=spent)
    else:
        with pytest.raises(BudgetExceededError, match="Allow it with"):
            limits.check(estimate, call_spent=call, session_spent=spent)


@pytest.mark.parametrize(
    "limits", [SpendingLimits(0, None, 25), SpendingLimits(None, 0, 25), SpendingLimits(None, None, 0)]
)
def test_a_refusal_says_whether_anything_of_the_call_was_sent(limits: SpendingLimits) -> None:
    """Nothing, before its first job; nothing more, once others of it are under way. One credit is not a credits."""
    one = Estimate(1, 1, 1.0)
    with pytest.raises(
        BudgetExceededError, match=r"^This needs about 1 credit \(1 job, 1 image\); .* Nothing was sent\."
    ):
        limits.check(one)
    with pytest.raises(BudgetExceededError, match=r"^This needs about 3 credits .* Nothing more was sent\."):
        limits.check(one, call_spent=2, session_spent=2)


def test_play_money_has_no_budget_but_max_credits_holds() -> None:
    """On the sandbox only an explicit limit of the call refuses."""
    free = Estimate(1, 90, 90.0, free=True)
    SpendingLimits(None, 5, 25).check(free)
    with pytest.raises(BudgetExceededError):
        SpendingLimits(10, None, 25).check(free)


def test_estimates_read_well() -> None:
    """Jobs, images, credits and time in one line."""
    assert str(Estimate(8, 16, 16.0, 120.0)) == "8 jobs, 16 images, about 16 credits, about 2 min"
    assert str(Estimate(1, 1, 1.0)) == "1 job, 1 image, about 1 credit"
    assert "free" in str(Estimate(1, 1, 1.0, free=True))
    assert duration(4800) == "80 min"
    assert duration(6000) == "1 h 40 min"
    assert call_time(20.0, 64, 32, 6000) == 40.0
    assert call_time(None, 3, 32, 60) is None
    assert price(GenerationRequest("x", num_outputs=4), 1.5) == 6.0
    assert price(GenerationRequest("x"), 0.2) == 1.0


def test_the_built_in_sandbox_is_estimated_by_how_many_images_it_paints_side_by_side(folder: Path) -> None:
    """Its jobs run at once, and their images wait for one another: nine take longer than one."""
    session = Session({"sandbox": True, "folder": str(folder)})
    try:
        grid = session.estimate([session.request(f"fox {k}") for k in range(9)]).seconds
        assert session.estimate([session.request("fox")]).seconds == pytest.approx(2.5, abs=0.1)
        assert grid == pytest.approx(12.5, abs=0.5)
        assert session.estimate([session.request("fox", num_outputs=9)]).seconds == grid
    finally:
        session.close()


def test_nothing_is_sent_above_the_ceiling(session: Session, sandbox: Sandbox) -> None:
    """Thirty images without a word about money are refused with the sum and the option that allows them."""
    requests = [session.request(f"fox {i}", num_outputs=5) for i in range(6)]
    with pytest.raises(BudgetExceededError, match=r"about 30 credits.*--max-credits 30"):
        session.start(requests, source="python")
    assert sandbox.count("submit") == 0
    assert not session.rows()


def test_a_budget_counts_what_runs_and_what_is_unconfirmed(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """An unconfirmed purchase is counted until it is dismissed."""
    sandbox = make_sandbox(faults=[Fault("submit", "drop_after", at=1)])
    session = make_session(sandbox, budget=3)
    batch = session.start([session.request("a fox", num_outputs=2)], source="python")
    assert batch.handles[0].exception(timeout=60).maybe_submitted  # type: ignore[union-attr]
    with pytest.raises(BudgetExceededError, match="1 of 3 credits left in the budget"):
        session.start([session.request("an owl", num_outputs=2)], source="python")
    session.dismiss(1)
    assert len(results_of(session, session.request("an owl", num_outputs=2))) == 1
    assert session.status().spent_session == 2


def test_a_dearer_reply_stops_the_rest_of_the_batch(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """The price is checked again before each POST, with the dearest image seen."""
    sandbox = make_sandbox(credit_cost=3.0)
    session = make_session(sandbox, in_flight=1)
    requests = [session.request(f"fox {i}") for i in range(4)]
    batch = session.start(requests, source="python", max_credits=4)
    errors = [handle.exception(timeout=60) for handle in batch.handles]
    assert errors[0] is None
    assert all(isinstance(error, BudgetExceededError) for error in errors[1:])
    assert sandbox.count("submit") == 1
    assert session.record(1).credits == 3
    assert session.record(2).status is JobStatus.REJECTED


@pytest.mark.parametrize("limits", [{"max_credits": 10}, {}], ids=["max_credits", "budget"])
def test_jobs_sent_side_by_side_do_not_go_past_what_may_be_spent_at_a_price_no_one_knew(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session], limits: dict[str, float]
) -> None:
    """One of a kind goes first; the rest goes at the price its reply has message."""
    sandbox = make_sandbox(credit_cost=3.0, faults=[Fault("submit", "slow_drip", seconds=1.5)])
    session = make_session(sandbox, in_flight=8, budget=None if limits else 10)
    requests = [session.request(f"fox {i}") for i in range(10)]
    errors = [h.exception(timeout=60) for h in session.start(requests, source="python", **limits).handles]
    assert sandbox.charges == 9
    assert errors.count(None) == 3
    assert all(error is None or isinstance(error, BudgetExceededError) for error in errors)


def test_what_waits_for_a_price_says_so_and_once(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    session = make_session(make_sandbox(faults=[Fault("submit", "slow_drip", at=1, seconds=0.8)]))
    seen: list[Snapshot] = []
    requests = [session.request(f"fox {i}") for i in range(2)]
    handles = session.start(requests, source="python").handles
    for handle in handles:
        handle.add_observer(seen.append)
    for handle in handles:
        handle.result(timeout=60)
    waited = [snapshot.number for snapshot in seen if snapshot.waiting_for == "the first one's price"]
    assert len(waited) == 1


def test_after_a_reconnect_the_budget_that_is_shown_is_the_one_that_is_enforced(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session], tmp_path: Path
) -> None:
    """Of the same backend in every folder, and of no other backend."""
    sandbox, other = make_sandbox(), make_sandbox()
    first = make_session(sandbox, budget=10)
    results_of(first, first.request("a fox", num_outputs=4))
    second = make_session(other, budget=10, before=first)
    results_of(second, second.request("an owl", num_outputs=2))
    third = make_session(sandbox, budget=10, before=second, folder=str(tmp_path / "elsewhere"))
    assert second.status().spent_session == 2
    assert third.status().spent_session == 4
    with pytest.raises(BudgetExceededError, match="6 of 10 credits left in the budget"):
        third.start([third.request("a hen", num_outputs=7)], source="python")


def test_only_the_first_of_a_kind_goes_alone(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """A price that is known makes no one wait. Another number of images is another kind, and so is a resolution."""
    sandbox = make_sandbox(faults=[Fault("submit", "slow_drip", seconds=1.0)])
    session = make_session(sandbox, in_flight=4)

    def sent_before_a_reply(**parameters: object) -> int:
        before = sandbox.count("submit")
        requests = [session.request(f"fox {before} {i}", **parameters) for i in range(4)]
        handles = session.start(requests, source="python").handles
        most = 0
        while all(handle.snapshot.credits is None for handle in handles):
            most = sandbox.count("submit") - before
            time.sleep(0.02)
        assert [handle.exception(timeout=60) for handle in handles] == [None] * 4
        return most

    assert sent_before_a_reply() == 1
    assert sent_before_a_reply() == 4
    assert sent_before_a_reply(num_outputs=2) == 1
    assert sent_before_a_reply(resolution="2K") == 1


def test_a_first_job_that_lacks_memory_ends_and_lets_the_others_go(
    session: Session, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite lacks memory, too: what the journal holds cannot be read then."""
    sends, reads = dispatcher.advance, Journal.get

    def advance(job: RunningJob) -> KlingError | None:
        if job.record.number > 1:
            return sends(job)
        assert job.permit is not None
        assert job.permit.check(job.record) == ""
        raise MemoryError

    def get(journal: Journal, number: int) -> Record | None:
        if number == 1:
            raise MemoryError
        return reads(journal, number)

    monkeypatch.setattr(dispatcher, "advance", advance)
    monkeypatch.setattr(Journal, "get", get)
    requests = [session.request(f"a fox {k}") for k in range(3)]
    first, *others = session.start(requests, source="python").handles
    assert "MemoryError" in str(first.exception(timeout=60))
    assert [handle.exception(timeout=60) for handle in others] == [None, None]
    assert sandbox.count("submit") == 2


def test_a_price_seen_long_ago_is_not_forgotten_while_its_kind_counts_as_known(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """A hundred cheap jobs after a dear one do not make its kind cheap."""
    sandbox = make_sandbox(credit_cost=3.0)
    session = make_session(sandbox)
    results_of(session, session.request("a first one", resolution="2K"))
    about = {"backend": session.backend, "source": "python", "session": session.id, "estimate": 1.0}
    cheap = [new_record(GenerationRequest("cheap", sample=i), **about) for i in range(101)]  # type: ignore[arg-type]
    session.journal.add(record.replace(status=JobStatus.COMPLETED, credits=1.0) for record in cheap)
    request = session.request("another", resolution="2K")
    assert session.workspace.has_price(request)
    assert session.estimate([request]).credits == 3.0
    assert not session.workspace.has_price(session.request("another", resolution="2K", model="another-model"))


def test_where_the_reply_to_a_submit_names_no_price_the_end_of_the_job_does(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the call waits for it; and if the end names none either, it continues at the guess, side by side."""
    submit = ServiceClient.submit
    nameless = {"credit_cost": None, "credits_remaining": None}
    monkeypatch.setattr(
        ServiceClient, "submit", lambda self, request, **hook: replace(submit(self, request, **hook), **nameless)
    )
    sandbox = make_sandbox(credit_cost=3.0, latency=0.5)
    session = make_session(sandbox)
    requests = [session.request(f"fox {i}") for i in range(10)]
    for handle in session.start(requests, source="python", max_credits=10).handles:
        handle.exception(timeout=60)
    assert sandbox.charges == 9

    poll = ServiceClient.poll
    monkeypatch.setattr(ServiceClient, "poll", lambda self, *job: replace(poll(self, *job), credit_cost=None))
    requests = [session.request(f"owl {i}", num_outputs=2) for i in range(4)]
    errors = [h.exception(timeout=60) for h in session.start(requests, source="python", max_credits=50).handles]
    assert errors == [None] * 4


def test_while_a_price_is_being_found_out_no_one_passes_a_retry_after(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """Those that wait for a price hold no share of the rate limit that they could use at once after a refusal."""
    sandbox = make_sandbox()
    session = make_session(sandbox, in_flight=8)
    results_of(session, *(session.request(f"an owl {i}") for i in range(12)))  # so that the allowance is known
    sandbox.add_fault(Fault("submit", "rate_limited", at=1, times=2, retry_after=1))
    results_of(session, *(session.request(f"fox {i}", resolution="2K") for i in range(8)))
    first, second, third, *rest = [entry.at for entry in sandbox.log if entry.kind == "submit"][12:]
    assert second - first >= 0.9
    assert third - second >= 0.9
    assert len(rest) == 7


def test_the_price_is_found_out_by_another_where_the_first_is_refused_or_unconfirmed(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """No one waits for a reply that will not come."""
    faults = [Fault("submit", "status", at=1, status=400), Fault("submit", "drop_after", at=2)]
    session = make_session(make_sandbox(faults=faults), in_flight=4)
    batch = session.start([session.request(f"fox {i}") for i in range(5)], source="python")
    errors = [handle.exception(timeout=60) for handle in batch.handles]
    assert sum(error is None for error in errors) == 3


def test_after_402_the_rest_of_a_batch_is_not_sent(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """The credits ran out at the second job: the third and fourth are not tried."""
    sandbox = make_sandbox(credits=1)
    session = make_session(sandbox, in_flight=1)
    batch = session.start([session.request(f"fox {i}") for i in range(4)], source="python")
    errors = [handle.exception(timeout=60) for handle in batch.handles]
    assert errors[0] is None
    assert all(isinstance(error, InsufficientCreditsError) for error in errors[1:])
    assert sandbox.count("submit") == 2


def test_a_sandbox_out_of_credits_asks_no_one_to_buy(folder: Path) -> None:
    """Its credits are free and come back with the kernel; the job refused and those not sent after it say so."""
    session = Session({"sandbox": True, "folder": str(folder), "in_flight": 1})
    try:
        session.client.probe()
        service = session._sandbox._service  # type: ignore[union-attr]  # it has begun
        service.credits, service._latency = 1, 0
        batch = session.start([session.request(f"fox {i}") for i in range(3)], source="python")
        bought, *refused = [handle.exception(timeout=60) for handle in batch.handles]
    finally:
        session.close()
    assert bought is None
    assert [type(error) for error in refused] == [InsufficientCreditsError] * 2
    for error in refused:
        assert "buy" not in str(error).lower()
        assert "estart the kernel" in str(error)
        assert "come back" in str(error)


def test_after_402_what_was_bought_is_polled_under_a_small_allowance_too(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """Requests that are refused before they are sent take no share of the rate limit."""
    sandbox = make_sandbox(credits=2, latency=1.0)
    session = make_session(sandbox, requests_per_minute=30, in_flight=4)
    batch = session.start([session.request(f"fox {i}") for i in range(60)], source="python", max_credits=60)
    began = time.monotonic()
    errors = [handle.exception(timeout=50) for handle in batch.handles]
    assert time.monotonic() - began < 30
    assert errors.count(None) == 2
    assert sandbox.count("submit") <= 2 + 4, "those under way when the first refusal came"


def test_a_price_is_known_from_the_reply_and_not_from_the_end_of_the_job(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """While two run that cost three each, a budget of eight has no space for a third."""
    sandbox = make_sandbox(credit_cost=3.0, latency=2.0)
    session = make_session(sandbox, budget=8)
    running = []
    for prompt in ("a fox", "an owl"):
        running += session.start([session.request(prompt)], source="python").handles
        while running[-1].snapshot.credits is None:
            time.sleep(0.02)
    with pytest.raises(BudgetExceededError, match="2 of 8 credits left in the budget"):
        session.start([session.request("a hare")], source="python")
    assert [handle.exception(timeout=60) for handle in running] == [None, None]
    assert sandbox.charges == 6


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -1, "5", True])
def test_a_limit_that_is_not_a_number_is_refused_before_anything_is_sent(
    session: Session, sandbox: Sandbox, nonsense: object
) -> None:
    """Compared with nan nothing is too dear."""
    with pytest.raises(InputError, match="max_credits must be a number"):
        session.start([session.request("a fox")], source="python", max_credits=nonsense)  # type: ignore[arg-type]
    assert not sandbox.log
    assert not session.rows()


@pytest.mark.parametrize("number", [np.int64(2), np.float32(2), np.array(2)])
def test_a_limit_may_be_a_number_of_numpy(session: Session, sandbox: Sandbox, number: Any) -> None:
    """It is what the sum of a column is."""
    session.start([session.request("a fox")], source="python", max_credits=number).handles[0].result(timeout=60)
    with pytest.raises(BudgetExceededError, match="max_credits allows 2"):
        session.start([session.request("an owl", num_outputs=3)], source="python", max_credits=number)
    assert sandbox.charges == 1


def test_dismissing_a_job_that_was_charged_gives_no_credits_back(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """An unconfirmed job that is dismissed is no longer counted; what the reply reported was charged is."""
    sandbox = make_sandbox(credit_cost=3.0, faults=[Fault("download", "status", times=99, status=500)])
    session = make_session(sandbox, budget=3)
    batch = session.start([session.request("a fox", num_outputs=1)], source="python")
    assert batch.handles[0].exception(timeout=60) is not None
    assert session.dismiss(1).status is JobStatus.DISMISSED
    assert session.status().spent_session == 3
    with pytest.raises(BudgetExceededError):
        session.start([session.request("an owl")], source="python")


def test_the_reply_decides_what_history_says_it_cost(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """``creditCost`` is recorded, fractions included, and the next estimate learns from it."""
    sandbox = make_sandbox(credit_cost=1.5)
    session = make_session(sandbox)
    results_of(session, session.request("a fox", num_outputs=2))
    frame = session.history()
    assert frame.loc[1, "credits"] == 3.0
    assert frame.loc[1, "credits_remaining"] == sandbox.credits
    assert session.estimate([session.request("an owl", num_outputs=2)]).credits == 3.0


def test_identical_requests_of_one_call_are_one_job(session: Session, sandbox: Sandbox) -> None:
    """Asked for three times in one call, bought once."""
    results = results_of(session, *[session.request("a red fox ")] * 2, session.request(" a red fox"))
    assert len({id(result) for result in results}) == 1
    assert sandbox.count("submit") == 1


def test_reuse_shows_again_and_off_buys_again(session: Session, sandbox: Sandbox) -> None:
    """With reuse a completed request costs nothing and makes no row; without it, it is bought."""
    request = session.request("a red fox", aspect_ratio="16:9")
    results_of(session, request)
    (again,) = results_of(session, session.request("a red fox", aspect_ratio="16:9"), reuse=True)
    assert again.reused  # type: ignore[attr-defined]
    assert again.number == 1  # type: ignore[attr-defined]
    assert len(session.rows()) == 1
    assert sandbox.count("submit") == 1
    results_of(session, request)
    assert sandbox.count("submit") == 2


def test_reuse_fetches_a_file_that_was_deleted(session: Session, sandbox: Sandbox) -> None:
    """The known job still gives it, for nothing."""
    request = session.request("a red fox", num_outputs=3)
    (result,) = results_of(session, request)
    result[1].path.unlink()  # type: ignore[index]
    assert session.estimate([request], reuse=True).jobs == 0
    (again,) = results_of(session, request, reuse=True)
    assert again.number == 1  # type: ignore[attr-defined]
    assert all(image.path.exists() for image in again)  # type: ignore[attr-defined]
    assert sandbox.count("submit") == 1


def test_reuse_buys_when_a_deleted_file_has_no_job(session: Session, sandbox: Sandbox) -> None:
    """An image found without a journal, and lost again, answers nothing if no job can be asked for it."""
    request = session.request("a red fox")
    (result,) = results_of(session, request)
    result[0].path.unlink()  # type: ignore[index]
    session.journal.write(session.record(1).replace(job_id=None))
    results_of(session, request, reuse=True)
    assert sandbox.count("submit") == 2


def test_an_unconfirmed_twin_stops_a_reusing_request(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """It is not bought again silently: the error says how to dismiss it or to buy afresh."""
    sandbox = make_sandbox(faults=[Fault("submit", "drop_after", at=1)])
    session = make_session(sandbox)
    request = session.request("a red fox")
    session.start([request], source="python").handles[0].exception(timeout=60)
    handle = session.start([request], source="python", reuse=True).handles[0]
    with pytest.raises(KlingError, match=r"dismiss 1.*--fresh") as caught:
        handle.result(timeout=60)
    assert caught.value.maybe_submitted
    assert sandbox.count("submit") == 1
    session.dismiss(1)
    assert results_of(session, request, reuse=True)
    assert sandbox.count("submit") == 2


def test_a_running_twin_is_attached_to(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """With reuse, the same request while it runs is the same job."""
    sandbox = make_sandbox(latency=1.5)
    session = make_session(sandbox)
    first = session.start([session.request("a red fox")], source="python", reuse=True).handles[0]
    second = session.start([session.request("a red fox")], source="python", reuse=True).handles[0]
    assert second is first
    assert first.result(timeout=60).number == 1
    assert sandbox.count("submit") == 1


def test_a_cancelled_request_is_not_sent(
    make_sandbox: Callable[..., Sandbox], make_session: Callable[..., Session]
) -> None:
    """cancel() before the POST costs nothing; after it, it is refused and the job continues."""
    sandbox = make_sandbox(latency=1.5)
    session = make_session(sandbox, in_flight=1)
    batch = session.start([session.request("a fox"), session.request("an owl")], source="python")
    while batch.handles[0].job_id is None:
        time.sleep(0.05)
    stopped = batch.cancel_unsent()
    assert stopped.cancelled == (2,)
    assert stopped.still_running == (batch.handles[0],)
    assert session.record(2).status is JobStatus.CANCELLED
    assert batch.handles[0].result(timeout=60).number == 1
    assert sandbox.count("submit") == 1


def test_bad_input_is_refused_before_anything_is_sent(session: Session, sandbox: Sandbox) -> None:
    """Naming the field and what was meant."""
    for wrong, message in [
        ({"aspect_ratio": "16:8"}, "Did you mean 16:9"),
        ({"output_format": "jpg"}, "Did you mean jpeg"),
        ({"num_outputs": 0}, "1 to 9"),
        ({"num_outputs": 12}, "1 to 9"),
        ({"resolution": "8K"}, "1K, 2K"),
        ({"aspect_ration": "1:1"}, "Did you mean aspect_ratio"),
        ({"image": "nowhere.png"}, "nowhere.png"),
    ]:
        with pytest.raises(InputError, match=message):
            session.request("a fox", **wrong)
    with pytest.raises(InputError, match="empty"):
        session.request("  ")
    assert not sandbox.log


def test_the_gate_opens_for_one_of_the_two() -> None:
    """Cancelled, it is not sent; once the POST is under way, it is not cancelled; after a refusal it may be."""
    client = KlingClient("sk-0123456789")
    job = client._job(GenerationRequest("a fox"), None, None)
    assert job.handle.cancel()
    with pytest.raises(CancelledError):
        job.begin_sending()
    for accepted in (False, True):
        job = client._job(GenerationRequest("a fox"), None, None)
        job.begin_sending()
        assert not job.handle.cancel()
        job.end_sending(accepted=accepted)
        assert job.handle.cancel() is not accepted
