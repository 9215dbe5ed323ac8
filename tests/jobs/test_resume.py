"""What an earlier kernel left behind is named, collected, attached or dismissed; nothing is bought for it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kling_notebook.api.errors import DownloadError, InputError, KlingError, ModelNotFoundError, StillRunningError
from kling_notebook.api.generation_request import GenerationRequest
from kling_notebook.api.job import Job, JobStatus
from kling_notebook.image_files import saving
from kling_notebook.jobs import dispatcher, poll_and_save, resume
from kling_notebook.journal.job_record import new_record
from kling_notebook.sandbox import Fault

if TYPE_CHECKING:
    from kling_notebook.sandbox import Sandbox
    from kling_notebook.session.session import Session

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the tries of a download and between looks at another kernel's job."""
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: 0.05)  # noqa: ARG005
    monkeypatch.setattr(dispatcher, "FOLLOW_SECONDS", 0.05)


@pytest.fixture(autouse=True)
def one_download_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the service's k-th download is the k-th image."""
    monkeypatch.setattr("kling_notebook.session.session.LOCAL_DOWNLOADS", 1)


def buy(session: Session, prompt: str = "a red fox", **options: Any) -> Any:
    return session.start([session.request(prompt, **options)], source="python").handles[0]


def left_behind(session: Session, status: JobStatus, prompt: str = "a red fox", **facts: Any) -> int:
    """A row of a kernel that is dead."""
    backend = facts.pop("backend", session.backend)
    record = new_record(
        GenerationRequest(prompt, num_outputs=facts.pop("num_outputs", 1)),
        backend=backend, source="magic", session="deaddeaddead", estimate=1.0,
    )  # fmt: skip
    return session.journal.add([record.replace(status=status, submitted_at=record.created_at, **facts)])[0].number


def made_elsewhere(session: Session, prompt: str = "a red fox", **parameters: Any) -> str:
    """A job the service knows and this folder does not."""
    return session.client.submit(GenerationRequest(prompt, **parameters)).job_id


# ---- naming ----


def test_the_next_session_says_in_one_line_what_is_paused(make_session: Make, sandbox: Sandbox, folder: Path) -> None:
    """Once, by kind; rows of another backend are named with it; a plan that was never sent is closed."""
    first = make_session(sandbox)
    left_behind(first, JobStatus.RUNNING, job_id="job_a")
    left_behind(first, JobStatus.DOWNLOADING, job_id="job_b")
    left_behind(first, JobStatus.SUBMITTING)
    left_behind(first, JobStatus.UNCONFIRMED)
    planned = left_behind(first, JobStatus.QUEUED)
    left_behind(first, JobStatus.RUNNING, job_id="job_c", backend="pixeldojo")
    first.close()
    session = make_session(sandbox)
    notices = session.pop_notices()
    assert notices == [
        "2 jobs are paused: `%kling resume` fetches them.",
        "2 jobs may have been submitted: see `%kling status`.",
        "1 job of another backend (pixeldojo) can be resumed there.",
    ]
    assert session.pop_notices() == []
    assert session.record(planned).status is JobStatus.CANCELLED
    rows = dict(session.status().rows())
    assert rows["paused"].startswith("1 (running), 2 (downloading)")
    assert {name for name in rows if "unconfirmed" in name} == {"job 3 unconfirmed", "job 4 unconfirmed"}


def test_other_backends_rows_are_named_and_left(make_session: Make, sandbox: Sandbox) -> None:
    """Resume of everything takes none of them, and of one says whose it is."""
    session = make_session(sandbox)
    number = left_behind(session, JobStatus.RUNNING, job_id="job_c", backend="pixeldojo")
    assert not session.resume().jobs
    with pytest.raises(InputError, match="belongs to pixeldojo"):
        session.resume(number)
    assert session.record(number).owner == "deaddeaddead"
    assert not sandbox.log


# ---- collecting ----


@pytest.mark.parametrize("by", ["number", "text", "job id", "all"])
def test_a_job_is_collected_by_its_number_or_id(by: str, make_session: Make, sandbox: Sandbox) -> None:
    """The dead kernel's job becomes this session's; the service sees a poll and no POST."""
    session = make_session(sandbox)
    job_id = made_elsewhere(session, num_outputs=2)
    number = left_behind(session, JobStatus.RUNNING, job_id=job_id, num_outputs=2)
    posts = sandbox.count("submit")
    which = {"number": number, "text": f" {number} ", "job id": job_id, "all": None}[by]
    (handle,) = session.resume(which).jobs
    assert len(handle.result(timeout=60)) == 2
    assert session.record(number).owner == session.id
    assert sandbox.count("submit") == posts
    assert not session.resume().jobs
    assert len(session.history()) == 1


def test_what_a_crash_left_in_the_folder_is_taken_and_not_fetched_again(make_session: Make, sandbox: Sandbox) -> None:
    """Killed between the rename and the commit: the file is there; the half-fetched beside it goes."""
    session = make_session(sandbox)
    result = buy(session, num_outputs=3).result(timeout=60)
    record = session.record(1)
    session.journal.write(record.replace(status=JobStatus.DOWNLOADING, images=record.images[:1]))
    result[2].path.unlink()
    (session.folder / f".{result[2].path.stem}.deaddeaddead.part").write_bytes(b"half a pic")
    session.close()
    before = sandbox.count("download")
    session = make_session(sandbox)
    assert not list(session.folder.glob(".*.part"))
    (handle,) = session.resume().jobs
    assert [p.path.name for p in handle.result(timeout=60)] == list(record.images)
    assert sandbox.count("download") == before + 1


def test_a_job_id_that_belongs_to_another_job_leaves_the_second_unconfirmed(
    make_session: Make, sandbox: Sandbox
) -> None:
    """A service that gives one id to two jobs: the first keeps its image, and the second takes none."""
    session = make_session(sandbox)
    first = buy(session, sample=1).result(timeout=60)
    job_id = sandbox.job_ids[0]

    def lying(_: Any, before_first_byte: Any) -> Job:
        before_first_byte()
        return Job(job_id, "running", "pending", credit_cost=1.0)

    session.client.submit = lying  # type: ignore[method-assign]
    error = buy(session, sample=2).exception(timeout=30)
    assert error.maybe_submitted
    assert "dismiss 2" in str(error)
    record = session.record(2)
    assert (record.status, record.job_id) == (JobStatus.UNCONFIRMED, None)
    assert any("the id of job 1" in notice for notice in session.pop_notices())
    assert session.record(job_id).number == 1
    assert first[0].path.exists()


def test_dead_urls_are_asked_for_again_twice_and_then_the_id_is_kept(make_sandbox: Make, make_session: Make) -> None:
    """Three URLs, three polls, then `expired` with the id; a later resume tries again and gets it."""
    sandbox = make_sandbox(faults=[Fault("download", "status", status=410, times=99)])
    session = make_session(sandbox)
    error = buy(session).exception(timeout=30)
    assert isinstance(error, DownloadError)
    assert (error.job_id, error.number) == (sandbox.job_ids[0], 1)
    assert "is lost to us: 0 images saved" in str(error)
    assert sandbox.count("download") == sandbox.count("poll") == 3
    assert session.record(1).status is JobStatus.EXPIRED
    assert not session.resume().jobs, "it is over: only asked for by name is it tried again"
    sandbox.clear_faults()
    assert len(session.resume(1).jobs[0].result(timeout=60)) == 1
    assert session.record(1).status is JobStatus.COMPLETED
    assert sandbox.count("submit") == 1


def test_urls_that_die_between_two_images_cost_one_more_poll(make_sandbox: Make, make_session: Make) -> None:
    """The images saved before are not fetched again; each of the others is tried before the job is asked."""
    sandbox = make_sandbox(faults=[Fault("download", "expired", at=2)])
    session = make_session(sandbox)
    assert len(buy(session, num_outputs=3).result(timeout=60)) == 3
    assert sandbox.count("poll") == 2
    assert sandbox.count("download") == 5


def colors(result: Any) -> list[int | None]:
    """Which image of the service stands in each place, by the red of its paint; None where there is none."""
    return [p.image().getpixel((0, 0))[0] // 40 if p.path.exists() else None for p in result]


@pytest.mark.parametrize("bad", [0, 2, 3])
def test_one_bad_image_holds_back_none_of_the_others(
    bad: int, make_sandbox: Make, make_session: Make, paint: Any, tmp_path: Path
) -> None:
    """Three of four are saved before their URLs die, each under its own address; resume fetches the one."""
    sandbox = make_sandbox(paint=paint, faults=[Fault("download", "wrong_content", at=bad + 1, times=3)])
    session = make_session(sandbox)
    handle = buy(session, num_outputs=4)
    error = handle.exception(timeout=30)
    assert isinstance(error, DownloadError)
    assert f"is not all here: 3 images saved (`%kling show 1`), 1{'abcd'[bad]} not. `%kling resume 1`" in str(error)
    assert handle.snapshot.saved == 3
    assert session.record(1).status is JobStatus.PAUSED
    part = session.result(1)
    there = [None if k == bad else k for k in range(4)]
    assert colors(part) == there[: len(part)]
    assert there[len(part) :] == ([None] if bad == 3 else [])
    assert part._repr_mimebundle_()["text/html"].count("<img") == 3
    with pytest.raises(KlingError, match=f"1{'abcd'[bad]}: .* `%kling resume 1`") if bad < 3 else nullcontext():
        part.save(tmp_path / "copies")
    copies = sorted(copy.stem[4] for copy in (tmp_path / "copies").iterdir())
    assert copies == ["abcd"[k] for k in there if k is not None]
    assert sandbox.count("download") == 6

    result = session.resume().jobs[0].result(timeout=60)
    assert colors(result) == [0, 1, 2, 3]
    assert [image.path.suffix for image in result] == [".png"] * 4
    assert session.record(1).status is JobStatus.COMPLETED
    assert (sandbox.count("download"), sandbox.count("submit")) == (7, 1)


def test_an_image_whose_url_stays_dead_is_named_and_the_others_are_kept(
    make_sandbox: Make, make_session: Make, paint: Any
) -> None:
    """Asked for three times; `expired` says what is lost by its address, and the rest is shown and in the history."""
    dead: dict[str, Any] = {"on": "download", "kind": "status", "status": 410}
    sandbox = make_sandbox(paint=paint, faults=[Fault(at=2, **dead), Fault(at=5, times=2, **dead)])
    session = make_session(sandbox)
    error = buy(session, num_outputs=4).exception(timeout=30)
    assert "is lost to us in part: 3 images saved (`%kling show 1`), 1b not" in str(error)
    assert (sandbox.count("download"), sandbox.count("poll")) == (6, 3)
    assert session.record(1).status is JobStatus.EXPIRED
    assert colors(session.result(1)) == [0, None, 2, 3]
    assert [(session.folder / name).exists() for name in session.record(1).images] == [True, False, True, True]
    assert colors(session.resume(1).jobs[0].result(timeout=60)) == [0, 1, 2, 3]
    assert sandbox.count("submit") == 1


def test_an_image_that_a_fresh_reply_no_longer_names_is_named_as_missing(
    make_sandbox: Make, make_session: Make, paint: Any
) -> None:
    """URLs had died, and the reply with new ones is one short: the job is not completed with the rest."""
    faults = [Fault("download", "expired", at=3), Fault("poll", "fewer", at=2)]
    sandbox = make_sandbox(paint=paint, faults=faults)
    session = make_session(sandbox)
    handle = buy(session, num_outputs=3)
    error = handle.exception(timeout=30)
    assert isinstance(error, DownloadError)
    assert "is lost to us in part: 2 images saved (`%kling show 1`), 1c not" in str(error)
    assert session.record(1).status is JobStatus.EXPIRED
    assert (handle.snapshot.saved, handle.snapshot.images) == (2, 3)
    assert session.pop_notices() == []
    assert (sandbox.count("poll"), sandbox.count("submit")) == (3, 1)


def test_a_deleted_image_that_the_service_no_longer_names_is_not_taken_for_done(
    make_sandbox: Make, make_session: Make, paint: Any
) -> None:
    """Resumed, because its file is gone: the record says how many there were."""
    sandbox = make_sandbox(paint=paint)
    session = make_session(sandbox)
    buy(session, num_outputs=3).result(timeout=60)[2].path.unlink()
    sandbox.add_fault(Fault("poll", "fewer", at=1))
    assert "2 images saved (`%kling show 1`), 1c not" in str(session.resume(1).jobs[0].exception(timeout=30))
    assert session.record(1).status is JobStatus.EXPIRED


def test_with_one_bad_and_one_dead_image_the_job_can_be_resumed(
    make_sandbox: Make, make_session: Make, paint: Any
) -> None:
    """Only where every missing image's URL has died again and again is the job over."""
    faults = [Fault("download", "wrong_content", at=1, times=3), Fault("download", "status", status=404, at=4),
              Fault("download", "wrong_content", at=5, times=99)]  # fmt: skip
    sandbox = make_sandbox(paint=paint, faults=faults)
    session = make_session(sandbox)
    error = buy(session, num_outputs=2).exception(timeout=30)
    assert "0 images saved, 1a, 1b not" in str(error)
    assert session.record(1).status is JobStatus.PAUSED
    sandbox.clear_faults()
    assert colors(session.resume().jobs[0].result(timeout=60)) == [0, 1]


def test_a_job_that_does_not_end_is_paused_and_resumed(make_sandbox: Make, make_session: Make) -> None:
    """After job_max_age its worker is free, the error says how to continue, and resume gets the images."""
    sandbox = make_sandbox(latency=lambda _: 4.0)
    session = make_session(sandbox, job_max_age=1.0, in_flight=1)
    handle, other = buy(session), buy(session, "an owl")
    error = handle.exception(timeout=30)
    assert isinstance(error, StillRunningError)
    assert error.job_id
    assert "%kling resume 1" in str(error)
    assert session.record(1).status is JobStatus.PAUSED
    assert isinstance(other.exception(timeout=30), StillRunningError), "the one worker was free for it"
    session.configure(job_max_age=60)
    assert [len(h.result(timeout=60)) for h in session.resume().jobs] == [1, 1]
    assert sandbox.count("submit") == 2


def test_a_row_that_two_threads_resume_at_once_gets_one_worker(
    make_session: Make, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cells, or a cell and the panel: both get the same handle."""
    session = make_session(sandbox)
    number = left_behind(session, JobStatus.RUNNING, job_id=made_elsewhere(session))
    own = resume._own

    def slowly(*what: Any) -> Any:
        time.sleep(0.2)
        return own(*what)

    monkeypatch.setattr(resume, "_own", slowly)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.extend(session.resume(number).handles)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 2
    assert found[0] is found[1]
    assert len(found[0].result(timeout=60)) == 1


def test_a_finished_job_whose_files_were_deleted_is_fetched_again(make_session: Make, sandbox: Sandbox) -> None:
    """Only what is missing; where all is there, it is shown at no cost and no one is asked."""
    session = make_session(sandbox)
    result = buy(session, num_outputs=3).result(timeout=60)
    session.star(1, 2)
    polls = sandbox.count("poll")
    assert session.resume(1).jobs[0].result(timeout=60).reused
    assert sandbox.count("poll") == polls
    result[1].path.unlink()
    again = session.resume(1).jobs[0].result(timeout=60)
    assert [p.path for p in again] == [p.path for p in result]
    assert all(p.path.exists() for p in again)
    assert sandbox.count("download") == 4
    assert session.record(1).starred == {2}
    assert sandbox.count("submit") == 1


def test_an_image_that_cannot_be_read_just_now_is_not_a_reason_to_buy_it_again(
    make_session: Make, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rights of a shared folder, too many open files, a file server that is away."""
    session = make_session(sandbox)
    result = buy(session).result(timeout=60)

    def refused(self: Path, *how: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refused)
    assert saving.is_saved_image(result[0].path)
    assert session.start([session.request("a red fox")], source="python", reuse=True).handles[0].done()
    assert sandbox.count("submit") == 1


def test_a_job_that_ends_while_it_is_looked_up_gets_no_second_worker(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row was read as running; its end must not be written over."""
    session = make_session(make_sandbox(latency=0.3))
    handle = buy(session)
    while not handle.job_id:
        time.sleep(0.02)
    open_records = session.journal.open_records

    def slow() -> Any:
        rows = list(open_records())
        handle.result(timeout=60)
        time.sleep(0.1)
        return rows

    monkeypatch.setattr(session.journal, "open_records", slow)
    assert session.resume().handles == ()
    assert session.record(1).seconds is not None


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_who_follows_another_kernels_job_without_a_thread_is_told_and_can_try_again(
    make_sandbox: Make, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No handle that never ends stays behind."""
    sandbox = make_sandbox(latency=1.0)
    first, second = make_session(sandbox), make_session(sandbox)
    handle = buy(first)
    while not handle.job_id:
        time.sleep(0.02)
    again = [second.request("a red fox")]
    with monkeypatch.context() as patch:
        patch.setattr(
            threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
        )
        with pytest.raises(KlingError, match="No thread could be started"):
            second.start(again, source="python", reuse=True)
    assert len(second.start(again, source="python", reuse=True).handles[0].result(timeout=60)) == 1
    assert sandbox.count("submit") == 1


@pytest.mark.parametrize("which", ["99999999999999999999", 10**30])
def test_a_number_no_folder_can_hold_is_an_unknown_job(which: Any, make_session: Make, sandbox: Sandbox) -> None:
    with pytest.raises(InputError, match=r"No job .* in this folder"):
        make_session(sandbox).resume(which)


@pytest.mark.parametrize("content", [b"", b"<html>not an image</html>"], ids=["empty", "text"])
def test_an_image_that_was_overwritten_is_fetched_again_and_the_file_left_alone(
    content: bytes, make_session: Make, sandbox: Sandbox
) -> None:
    """Reuse does not take it for one either: it would show a hole at no cost."""
    session = make_session(sandbox)
    result = buy(session, num_outputs=2).result(timeout=60)
    result[1].path.write_bytes(content)
    assert not session.workspace.has_all(session.record(1))
    again = session.resume(1).jobs[0].result(timeout=60)
    assert again[1].path != result[1].path
    assert session.workspace.has_all(session.record(1))
    assert result[1].path.read_bytes() == content
    assert (sandbox.count("submit"), sandbox.count("download")) == (1, 3)


def test_images_that_are_still_there_stay_in_the_history_when_the_service_has_forgotten_the_job(
    make_session: Make, make_sandbox: Make
) -> None:
    """One file was deleted, the rest is not lost with it."""
    sandbox = make_sandbox()
    session = make_session(sandbox)
    result = buy(session, num_outputs=3).result(timeout=60)
    result[1].path.unlink()
    sandbox.add_fault(Fault("poll", "status", status=404, times=99))
    error = session.resume(1).jobs[0].exception(timeout=30)
    assert "2 images saved" in str(error)
    assert [p.path for p in session.result(1)] == [p.path for p in result]


@pytest.mark.parametrize("status", [JobStatus.REJECTED, JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.DISMISSED])
def test_nothing_is_left_of_what_is_over(status: JobStatus, make_session: Make, sandbox: Sandbox) -> None:
    session = make_session(sandbox)
    number = left_behind(session, status, error="for a reason")
    with pytest.raises(InputError, match=f"Nothing is left to fetch of job {number}: it is {status.value}"):
        session.resume(number)
    with pytest.raises(InputError, match="nothing to dismiss"):
        session.dismiss(number)
    with pytest.raises(InputError, match="for a reason"):
        session.result(number)
    with pytest.raises(InputError, match="No job 99"):
        session.resume(99)


# ---- unconfirmed ----


def unconfirmed_session(make_sandbox: Make, make_session: Make, **options: Any) -> tuple[Sandbox, Session]:
    """One job bought, then one whose reply was lost although it was made."""
    sandbox = make_sandbox(**options)
    session = make_session(sandbox)
    buy(session, "known").result(timeout=60)
    sandbox.add_fault(Fault("submit", "drop_after", at=1))
    assert buy(session).exception(timeout=30).maybe_submitted
    return sandbox, session


def unconfirmed_row(session: Session, number: int = 2) -> str:
    return dict(session.status().rows())[f"job {number} unconfirmed"]


@pytest.mark.parametrize(("kind", "says"), [("drop_after", "by 1 more"), ("drop_before", "by no more than")])
def test_the_balance_gives_a_hint_that_is_called_one(
    kind: Any, says: str, make_sandbox: Make, make_session: Make
) -> None:
    """Known after the next accepted job: the drop that known jobs do not explain. It changes nothing by itself."""
    sandbox = make_sandbox()
    session = make_session(sandbox)
    buy(session, "known", num_outputs=2).result(timeout=60)
    sandbox.add_fault(Fault("submit", kind, at=1))
    buy(session).exception(timeout=30)
    assert "Hint" not in unconfirmed_row(session)
    buy(session, "after").result(timeout=60)
    text = unconfirmed_row(session)
    assert f"Hint: the balance fell {says}" in text
    assert "probably" in text
    assert "%kling resume 2 JOB_ID, or %kling dismiss 2" in text
    assert session.record(2).status is JobStatus.UNCONFIRMED
    assert session.status().spent_session == 4, "counted until somebody settles it"


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (("drop_after", "drop_before", "drop_before"), "by 1 more than known jobs explain; jobs 2, 3 and 4 together"),
        (("drop_before", "drop_after"), "by 2 more than known jobs explain; jobs 2 and 3 together would be about 3. "),
        (("drop_before", "drop_before"), "by no more than known jobs explain; jobs 2 and 3 were probably not charged"),
    ],
)
def test_one_fall_of_the_balance_proves_none_of_several_unconfirmed_jobs(
    kinds: Any, says: str, make_sandbox: Make, make_session: Make
) -> None:
    """It is compared with all of them together; an unconfirmed job beyond the next balance has a fall of its own."""
    sandbox = make_sandbox()
    session = make_session(sandbox)
    buy(session, "known").result(timeout=60)
    for count, kind in enumerate(kinds, 1):
        sandbox.add_fault(Fault("submit", kind, at=1))
        buy(session, f"unconfirmed {count}", num_outputs=count).exception(timeout=30)
    buy(session, "after").result(timeout=60)
    sandbox.add_fault(Fault("submit", "drop_after", at=1))
    buy(session, "alone").exception(timeout=30)
    buy(session, "last").result(timeout=60)
    for number in range(2, 2 + len(kinds)):
        assert f"Hint: the balance fell {says}" in unconfirmed_row(session, number)
        assert "probably charged" not in unconfirmed_row(session, number)
    assert "by 1 more than known jobs explain; it was probably charged" in unconfirmed_row(session, 3 + len(kinds))


def test_a_dismissed_job_is_not_asked_about_and_not_counted(make_sandbox: Make, make_session: Make) -> None:
    sandbox, session = unconfirmed_session(make_sandbox, make_session)
    assert session.status().spent_session == 2
    session.dismiss("2")
    assert session.record(2).status is JobStatus.DISMISSED
    assert session.status().spent_session == 1
    assert not session.status().unconfirmed
    with pytest.raises(InputError, match="nothing to dismiss"):
        session.dismiss(2)
    assert sandbox.count("submit") == 2


def test_a_running_job_cannot_be_dismissed(make_sandbox: Make, make_session: Make) -> None:
    """Neither forgotten nor taken out of the budget while somebody works on it."""
    sandbox = make_sandbox(latency=lambda _: 1.0)
    session = make_session(sandbox)
    handle = buy(session)
    while handle.job_id is None:
        time.sleep(0.02)
    with pytest.raises(InputError, match="is running"):
        session.dismiss(1)
    assert session.dispatcher.ledger.spent == 1
    assert len(handle.result(timeout=60)) == 1
    assert session.status().spent_session == 1


def test_the_id_from_the_website_goes_to_the_job_that_is_named(make_sandbox: Make, make_session: Make) -> None:
    """With two unconfirmed an id alone is not enough; with the number it is; what it cost is known then."""
    sandbox, session = unconfirmed_session(make_sandbox, make_session)
    job_id = sandbox.job_ids[0]
    sandbox.add_fault(Fault("submit", "drop_before", at=1))
    buy(session, "a third").exception(timeout=30)
    with pytest.raises(InputError, match=f"jobs 2, 3 are unconfirmed. Say which: `%kling resume N {job_id}`"):
        session.resume(job_id)
    with pytest.raises(InputError, match="Job 2 has no job id"):
        session.resume(2)
    result = session.resume(2, job_id).jobs[0].result(timeout=60)
    assert (result.number, result.job_id, result.credits) == (2, job_id, 1)
    assert session.dispatcher.ledger.spent == 3  # the third is still unconfirmed
    session.dismiss(3)
    with pytest.raises(InputError, match="none is unconfirmed"):
        session.resume("job_no_one_knows")
    assert sandbox.count("submit") == 3


def test_a_mistyped_id_leaves_the_job_unconfirmed_as_it_was(make_sandbox: Make, make_session: Make) -> None:
    """The service knows no such job: the error says which id, the row takes the right one, and costs what it cost."""
    sandbox, session = unconfirmed_session(make_sandbox, make_session)
    error = session.resume(2, "job_mistyped").handles[0].exception(timeout=30)
    assert error.maybe_submitted
    assert str(error).startswith("The service knows no job job_mistyped. Job 2 may have been submitted")
    record = session.record(2)
    assert (record.status, record.job_id, record.error) == (JobStatus.UNCONFIRMED, None, str(error))
    assert "job 2 unconfirmed" in dict(session.status().rows())
    result = session.resume(2, sandbox.job_ids[0]).handles[0].result(timeout=60)
    assert (result.number, result.job_id) == (2, sandbox.job_ids[0])
    assert session.record(2).status is JobStatus.COMPLETED


def test_an_unconfirmed_job_whose_id_was_mistyped_can_be_dismissed(make_sandbox: Make, make_session: Make) -> None:
    """The id alone, with one job unconfirmed, is attached to it; a wrong one counts in no budget for ever."""
    _, session = unconfirmed_session(make_sandbox, make_session)
    spent = session.status().spent_session
    assert session.resume("job_mistyped").handles[0].exception(timeout=30).maybe_submitted
    assert session.status().spent_session == spent
    session.dismiss(2)
    assert session.status().spent_session == spent - 1


@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.EXPIRED])
def test_an_id_attached_by_hand_can_be_replaced_until_the_service_has_answered_for_it(
    status: JobStatus, make_session: Make, sandbox: Sandbox
) -> None:
    """The network was down, or the kernel died, before it was known to be wrong."""
    session = make_session(sandbox)
    raw = {"attached": "job_mistyped"}
    number = left_behind(session, status, job_id="job_mistyped", raw=raw)
    right = made_elsewhere(session)
    assert session.resume(number, right).handles[0].result(timeout=60).job_id == right
    with pytest.raises(InputError, match=f"Job {number} is completed as {right}; it cannot be given another id"):
        session.resume(number, "job_another")


def test_an_id_the_service_gave_is_not_replaced(make_session: Make, sandbox: Sandbox) -> None:
    session = make_session(sandbox)
    number = left_behind(session, JobStatus.PAUSED, job_id=made_elsewhere(session))
    with pytest.raises(InputError, match="cannot be given another id"):
        session.resume(number, "job_another")
    assert session.record(number).job_id == sandbox.job_ids[0]


def test_an_id_of_another_job_of_the_folder_is_refused(make_sandbox: Make, make_session: Make) -> None:
    """One purchase never counts for two; the message names the job that has it."""
    _, session = unconfirmed_session(make_sandbox, make_session)
    taken = session.record(1).job_id
    with pytest.raises(InputError, match=f"{taken} is job 1 of this folder. Job 2 must be another one"):
        session.resume(2, taken)
    assert session.record(2).status is JobStatus.UNCONFIRMED


def test_a_hand_attached_job_with_a_result_expires_as_any_other(make_sandbox: Make, make_session: Make) -> None:
    """The service has answered for the id: that it forgets the job later says nothing of the unconfirmed job."""
    sandbox = make_sandbox(faults=[Fault("download", "status", status=404)])
    session = make_session(sandbox)
    right = made_elsewhere(session)
    number = left_behind(session, JobStatus.UNCONFIRMED)
    session.resume(number, right).handles[0].exception(timeout=30)
    sandbox.add_fault(Fault("poll", "status", status=404))
    assert isinstance(session.resume(number).handles[0].exception(timeout=30), ModelNotFoundError)
    assert (session.record(number).status, session.record(number).job_id) == (JobStatus.EXPIRED, right)


def test_an_id_is_not_replaced_while_it_is_being_asked_for(make_sandbox: Make, make_session: Make) -> None:
    sandbox = make_sandbox(latency=lambda _: 3.0)
    session = make_session(sandbox)
    number = left_behind(session, JobStatus.UNCONFIRMED)
    right = made_elsewhere(session)
    handle = session.resume(number, right).handles[0]
    with pytest.raises(InputError, match=f"is being asked for as {right}"):
        session.resume(number, "job_another")
    assert session.resume(number, right).handles[0] is handle
    assert len(handle.result(timeout=60)) == 1


def test_a_job_id_in_a_torn_reply_is_used(make_sandbox: Make, make_session: Make) -> None:
    """The reply broke off after the id: an id is an id, and the job continues."""
    sandbox = make_sandbox(faults=[Fault("submit", "truncated", at=1)])
    session = make_session(sandbox)
    assert buy(session).result(timeout=60).job_id == sandbox.job_ids[0]
    assert sandbox.count("submit") == 1


# ---- another kernel's job ----


@pytest.mark.parametrize(
    ("status", "says", "unconfirmed_record"),
    [
        (JobStatus.UNCONFIRMED, "may have been submitted", True),
        (JobStatus.FAILED, "failed at the service: no such animal", False),
        (JobStatus.REJECTED, "no such animal", False),
    ],
)
def test_whoever_waits_for_another_kernels_job_is_told_how_it_ended(
    status: JobStatus, says: str, unconfirmed_record: bool, make_session: Make, sandbox: Sandbox
) -> None:
    """Reuse attached to a job that then did not succeed: an error, never an empty result."""
    theirs, mine = make_session(sandbox), make_session(sandbox)
    record = new_record(
        mine.request("a red fox"), backend=mine.backend, source="python", session=theirs.id, estimate=1.0
    )
    (record,) = theirs.journal.add([record.replace(status=JobStatus.SUBMITTING)])
    handle = mine.start([mine.request("a red fox")], source="python", reuse=True).handles[0]
    time.sleep(0.2)
    assert not handle.done()
    theirs.journal.write(record.replace(status=status, error="no such animal"))
    with pytest.raises(KlingError, match=says) as caught:
        handle.result(timeout=60)
    assert caught.value.maybe_submitted is unconfirmed_record
    assert sandbox.count("submit") == 0


def test_whoever_waits_for_a_plan_of_a_kernel_that_dies_is_not_kept_waiting(
    make_session: Make, sandbox: Sandbox
) -> None:
    """It was never sent, and is not bought for somebody else's call."""
    theirs, mine = make_session(sandbox), make_session(sandbox)
    record = new_record(
        mine.request("a red fox"), backend=mine.backend, source="python", session=theirs.id, estimate=1.0
    )
    theirs.journal.add([record])
    handle = mine.start([mine.request("a red fox")], source="python", reuse=True).handles[0]
    time.sleep(0.2)
    assert not handle.done()
    theirs.close()
    with pytest.raises(KlingError, match="was not sent: it was cancelled, or its kernel ended"):
        handle.result(timeout=60)
    assert mine.record(1).status is JobStatus.CANCELLED
    assert sandbox.count("submit") == 0


def test_a_job_followed_here_is_collected_when_its_kernel_dies(make_session: Make, sandbox: Sandbox) -> None:
    """The owner died after the id was committed: who waits for it continues with it."""
    theirs, mine = make_session(sandbox), make_session(sandbox)
    job_id = made_elsewhere(mine)
    record = new_record(
        mine.request("a red fox"), backend=mine.backend, source="python", session=theirs.id, estimate=1.0
    )
    theirs.journal.add([record.replace(status=JobStatus.RUNNING, job_id=job_id, submitted_at=time.time())])
    handle = mine.start([mine.request("a red fox")], source="python", reuse=True).handles[0]
    time.sleep(0.2)
    assert not handle.done()
    theirs.close()
    assert len(handle.result(timeout=60)) == 1
    assert sandbox.count("submit") == 1


# ---- sessions that end ----


def test_a_session_that_is_closed_lets_go_when_its_jobs_are_done(make_sandbox: Make, make_session: Make) -> None:
    """connect() again while a job runs: the job continues, and the old session's lock goes with its end."""
    sandbox = make_sandbox(latency=lambda _: 1.0)
    first = make_session(sandbox)
    handle = buy(first)
    while handle.job_id is None:
        time.sleep(0.02)
    first.close()
    second = make_session(sandbox)
    assert second.workspace.locks.alive(first.id)
    assert not second.resume().jobs
    assert len(handle.result(timeout=60)) == 1
    time.sleep(0.1)
    assert not second.workspace.locks.alive(first.id)
    assert json.loads(json.dumps(second.record(1).status)) == "completed"
