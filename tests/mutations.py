"""Would the tests notice? Each row makes the package wrong in one way, in a copy, and names tests that must then fail.

    python tests/mutations.py            all rows, two at a time; a table; exit code 1 where a mutation survives
    python tests/mutations.py "5xx" key  only the rows whose name holds one of the words
    python tests/mutations.py --list     the names

Needs the test extra installed. First the named tests are run on an unchanged copy: a test that fails anyway proves
nothing.
"""

# ruff: noqa: E501  # rows quote lines of the package as they stand

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent.parent
AT_ONCE = 2
SECONDS = 240  # one run of tests; a mutation that makes them hang is noticed, too


class Edit(NamedTuple):
    """Replace ``old``, which stands in the file exactly once, by ``new``."""

    file: str
    old: str
    new: str


class Mutation(NamedTuple):
    """One way to be wrong, and the tests that must notice: a file and a word of the tests' names."""

    name: str
    edits: tuple[Edit, ...]
    tests: str
    word: str


def row(name: str, file: str, old: str, new: str, tests: str, word: str, *more: Edit) -> Mutation:  # noqa: PLR0917  # a table's row
    return Mutation(name, (Edit(file, old, new), *more), f"tests/{tests}", word)


PACING, WIRE, TRANSPORT = "api/retry_policy.py", "api/wire.py", "api/transport.py"
LIFE, COLLECTING, PAST = "jobs/advance.py", "jobs/poll_and_save.py", "jobs/resume.py"
IMAGES, JOURNAL, RUNNING = "image_files/saving.py", "journal/journal.py", "jobs/dispatcher.py"
TWINS, TRANSPORTING = "jobs/test_reuse.py", "api/test_transport.py"
RECOVERY, TABLES = "journal/recovery.py", "journal/schema.py"
KEPT, ARRIVING = "jobs/test_kept_files.py", "session/test_source_images_arrive.py"
SOURCES = "image_files/source_images.py"
EVIDENCE = "jobs/test_evidence.py"
FAULTS, CRASH, MONEY = "jobs/test_faults.py", "jobs/test_crash.py", "jobs/test_spending.py"
UNKNOWN = "    if error.maybe_submitted:\n        return AfterSubmit.UNKNOWN\n"

MUTATIONS = (
    # ---- money ----
    row("an ambiguous POST is sent again", PACING, UNKNOWN, UNKNOWN.replace("UNKNOWN", "AGAIN"),
        FAULTS, "connection and dropped"),
    row("a 5xx is sent again", PACING, UNKNOWN, "    if isinstance(error, ApiError) and error.status >= 500:\n"
        "        return AfterSubmit.AGAIN\n" + UNKNOWN, FAULTS, "answered and 500"),
    row("a dropped connection is called refused", PACING,
        "return AfterSubmit.AGAIN if error.never_left else AfterSubmit.UNKNOWN",
        "return AfterSubmit.AGAIN if error.never_left else AfterSubmit.REFUSED", FAULTS, "connection and dropped",
        Edit(TRANSPORT, "maybe_submitted=paid)", "maybe_submitted=False)")),
    row("a reply without job id is called refused", WIRE,
        'holds no job id."\n        raise _unexpected(f"The service\'s reply to a submit{torn}", status, body, maybe_submitted=True)',
        'holds no job id."\n        raise _unexpected(f"The service\'s reply to a submit{torn}", status, body, maybe_submitted=False)',
        FAULTS, "HTML and instead",
        Edit(PACING, "return AfterSubmit.REFUSED if refused else AfterSubmit.UNKNOWN", "return AfterSubmit.REFUSED")),
    row("the intent is journaled after the POST", "jobs/running_job.py",
        "            intent = self.store.commit(intent)\n        except BaseException as error:",
        "            pass\n        except BaseException as error:", CRASH, "intent and before and POST"),
    row("a place that cannot be written is noticed after the purchase", "jobs/purchase.py", "    layout.check_writable(workspace.folder)\n", "",
        KEPT, "noticed_before"),
    row("what cannot be journaled is sent all the same", "jobs/running_job.py",
        "            self._sending = False\n            if not isinstance(error, JournalError | OSError):",
        "            self.record, self.unwritten = intent, None\n            return\n            if not isinstance(error, JournalError | OSError):",
        "journal/test_no_space.py", "cannot_be_written_down"),
    row("a request counts as not sent whatever was written", TRANSPORT, "request, exchange.started)", "request, False)",
        FAULTS, "connection and dropped"),
    row("a request that failed at the proxy counts as sent", TRANSPORT, "request, exchange.started)", "request, True)",
        TRANSPORTING, "before_the_first_byte"),
    row("the first byte is noted before the connection is ready", "api/first_byte.py",
        "            if self.sock is None:\n", "            exchange.started = True\n            if self.sock is None:\n",
        TRANSPORTING, "refused or gone_after"),
    row("a slow commit is followed by a write to an idle connection", "api/first_byte.py",
        "if time.monotonic() - began > SLOW_HOOK:", "if False:", TRANSPORTING, "slow_commit"),
    row("an informational reply is taken for the reply", "api/response_body.py",
        'if not re.match(rb"(?i:HTTP)/[0-9.]+ +1(?!01)[0-9][0-9]\\b", lines[0] if lines else b""):', "if True:",
        TRANSPORTING, "header_looks_like"),
    row("what came of a torn chunk is lost", "api/response_body.py", 'return error.partial + getattr(error.__cause__, "partial", b"")', "raise",
        TRANSPORTING, "frame_is_broken"),
    row("what came before a connection broke is lost", "api/response_body.py", "            if not self.in_body:", "            if True:",
        TRANSPORTING, "frame_is_broken"),
    row("a length too short is believed", "api/response_body.py", "self.length = max(self.length, len(self.fp.peek(1)))", "pass",
        TRANSPORTING, "frame_is_broken and short and close"),
    row("only one of two addresses is asked", COLLECTING,
        "if given is None or given == url_policy.job_url(job.client.base_url, job_id):", "if True:", EVIDENCE, "E2-statusUrl"),
    row("only the documented word means completed", WIRE,
        '("completed", "complete", "succeeded", "succeed", "success", "done", "finished"), "completed"',
        '("completed",), "completed"', "api/test_wire.py", "status"),
    row("images under an unknown status are not looked for", WIRE,
        'return replace(now, state="completed", image_urls=now.output_urls)', "return now", EVIDENCE, "E3-unknown"),
    row("an envelope with a status hides the job in it", WIRE, "enough = (1 if certain < 2 else 3) if key in _WRAPPERS else others", "enough = certain + 1",
        EVIDENCE, "envelope"),
    row("images under a name not known are not found", WIRE, "        (False, (*_IMAGE_KEYS, *others)),\n", "",
        EVIDENCE, "E3-under"),
    row("a first job that lacks memory holds up the others", RUNNING, "with suppress(Exception):  # reading it", "with suppress(JournalError):  # reading it",
        MONEY, "lacks_memory"),
    row("a torn reply holds no job id", "api/sanitize.py", "            if value and not end and not found:", "            if False:",
        EVIDENCE, "E4-torn"),
    row("several addresses in a text are taken for one", WIRE, "else _BETWEEN_ADDRESSES.split(text.replace", "else [text] or (text.replace",
        "api/test_wire.py", "found_in_a_text"),
    row("a quote without an escape hides a reply", "api/sanitize.py", "if value is None and len(text) < 2**17", "if False",
        "api/test_wire.py", "hides_nothing"),
    row("the key is not known in UTF-16", TRANSPORT, "_ENCODED_IMAGE.split(in_utf8(body))", "_ENCODED_IMAGE.split(body)",
        "api/test_transport.py", "whatever_encoding"),
    row("a torn reply ends a job", WIRE, 'state if whole and (state != "completed" or images) else', 'state if state != "completed" or images else',
        "api/test_wire.py", "torn_poll"),
    row("what a reply is wrapped in hides it", "api/sanitize.py", "at = _BEGINNING.search(text, end or at.end())", "at = None",
        "api/test_wire.py", "wrapped_in"),
    row("an id counts under the documented name only", WIRE, 'return re.sub(r"[\\W_]", "", str(name)).casefold()', "return str(name)",
        "api/test_wire.py", "an_id_is_an_id"),
    row("an id in an address is not read", WIRE, "_id_in_addresses(headers, body, base_url) or _job_id(", "_job_id(",
        "api/test_wire.py", "of_the_job_holds"),
    row("the id alone in the place of a job is not read", WIRE, "if isinstance(inside, str) and strangers and not", "if False and not",
        "api/test_wire.py", "id_alone"),
    row("any word in the place of a job is its id", WIRE, "key in _WRAPPERS and _LIKE_AN_ID.fullmatch(inside)", "key in _WRAPPERS",
        "api/test_wire.py", "no_id_of_the_job"),
    row("the id of a call by JSON-RPC is the job's", WIRE, ' if key != "id" or "jsonrpc" not in reply', "",
        "api/test_wire.py", "id_of_a_request"),
    row("a failure that names no job is believed at once", WIRE,
        'return replace(job, state="running") if job.state == "failed" and _job_id(reply) is None else job', "return job",
        EVIDENCE, "gateway"),
    row("the first of several status words counts", WIRE, "word = min(words, key=lambda word: (_STATES.get(word) != likely, word not in _STATES))",
        "word = words[0]", "api/test_wire.py", "several_words"),
    row("images in an error reply are not seen", WIRE, "if not 200 <= status < 300 and not job.image_urls:", "if not 200 <= status < 300:",
        "api/test_wire.py", "whatever_the_http_status"),
    row("a job of yesterday is polled by its age", COLLECTING,
        "    job.unasked = max(job.unasked, age - OLD_SECONDS)\n", "", "jobs/test_poll_and_save.py", "yesterday_that_still"),
    row("a missing row counts as taken over", RUNNING, "        # Its number may be another job's by now.",
        "        raise LostOwnership(record.number)", EVIDENCE, "replaced_gets_a_new_row"),
    row("the id of another job is taken", LIFE, "if reply.job_id and job.store.is_other_job(job.record, reply.job_id):", "if False:",
        EVIDENCE, "two_submits"),
    row("one refusal teaches a limit", "api/rate_limiter.py",
        "        repeated = now - self.refused_at <= 2 * WINDOW and (len(self.granted) >= TOO_FEW or refusals >= 3)",
        "        repeated = True", "api/test_retry_policy.py", "one_refusal"),
    row("a limit for a second is taken for one a minute", "api/rate_limiter.py", "                window=found[1],\n", "",
        "api/test_retry_policy.py", "limit_for_a_second"),
    row("one stray 401 ends the asking", PACING, "UNAUTHORIZED_POLL_TRIES = 2", "UNAUTHORIZED_POLL_TRIES = 1", "api/test_retry_policy.py", "as_long_as_it_helps"),
    row("a request that was never sent uses up the rate limit", "api/client.py",
        "                self.request_queue.release_unused()", "                pass",
        "api/test_client.py", "never_sent_uses"),
    row("Content-Encoding is believed", "api/response_body.py", "    elif _PLAIN.match(first):\n        yield from wire\n", "",
        TRANSPORTING, "packed_in"),
    row("a signed address is rewritten", "api/url_policy.py", "_LONE_PERCENT = re.compile(\"%(?![0-9A-Fa-f]{2})\")",
        '_LONE_PERCENT = re.compile("%")', TRANSPORTING, "goes_out_as_given"),
    row("the objects of requests hold the key", TRANSPORT, "        with under_way(exchange):",
        "        prepared.headers['X-Key'] = exchange.key.reveal() if exchange.key else ''\n        with under_way(exchange):",
        TRANSPORTING, "requests_never_holds"),
    row("the budget is not looked at before each POST", "jobs/send_permit.py",
        "            self._limits.check(\n                estimate,\n", "            (lambda *_, **__: None)(\n                estimate,\n",
        MONEY, "dearer or unconfirmed"),
    row("the jobs of a kind go out before any has message its price", "jobs/send_permit.py",
        "if limited and not self._ledger.may_send(record)", "if False", MONEY, "side_by_side"),
    row("after a 402 the rest is sent", "jobs/send_permit.py", "        if self._stopped is not None:", "        if False:", MONEY, "402"),
    row("identical requests of a call are bought one by one", "jobs/purchase.py",
        "    to_buy = [request for request in unique if request not in known]",
        "    to_buy = [request for request in requests if request not in known]", MONEY, "identical or twin",
        Edit("jobs/purchase.py", "        for job in jobs.values():",
             "        for job in [*jobs.values(), *(dispatcher.add(one, permit) for one in records[:-1])]:")),
    row("two kernels look and plan at the same time", "jobs/purchase.py",
        "with dispatcher.planning, lock:", "with dispatcher.planning:",
        TWINS, "two_kernels"),
    row("a reply's price is known at the job's end only", RUNNING,
        "        if record.credits is not None:  # the next POST", "        if False:  # the next POST", MONEY, "price_is_known"),
    row("a cancelled request is sent", "jobs/running_job.py",
        "            if self.cancelled.is_set():\n                raise CancelledError\n            self._sending = True",
        "            self._sending = True", MONEY, "gate"),
    row("a running job can be dismissed", PAST, "    if n in dispatcher.jobs:\n        raise", "    if False:\n        raise",
        "jobs/test_resume.py", "dismissed"),
    row("an interrupt is an Exception", "api/errors.py", "class Interrupted(KeyboardInterrupt)", "class Interrupted(Exception)",
        "jobs/test_interrupt.py", "loop"),
    # ---- data ----
    row("a download goes straight to its final name", IMAGES, 'temporary = folder / f".{stem}.{owner}.part"',
        'temporary = folder / f"{stem}.png"', CRASH, "middle"),
    row("the content is not checked", IMAGES,
        "decode_pool.run(\n                _check_and_add_metadata, temporary, recipe, (thumbnail_sizes, alone), last\n            )",
        '(".png", {}, "")', FAULTS, "download and HTML"),
    row("an image cut short is taken", "image_files/decode.py",
        "            image.load()\n", "            try:\n                image.load()\n            except OSError:\n                pass\n",
        "image_files/test_saving.py", "damaged_pixels"),
    row("what cannot be shown is thrown away", IMAGES, "whole = kind.kept and not containers.is_cut_short(_read(temporary))",
        "whole = False", KEPT, "another_kind"),
    row("the last bytes are thrown away", IMAGES, "if (last and not refusal.final) or (", "if not last and (",
        KEPT, "last_bytes_stay"),
    row("of what is too large nothing is kept", COLLECTING, "            if saved.too_large:", "            if False:",
        KEPT, "too_large"),
    row("junk between the segments of a JPEG is damage", "image_files/containers.py",
        "while (found := _MARKER.search(data, position)) is not None:", "while (found := _MARKER.match(data, position)) is not None:",
        KEPT, "opened_measured"),
    row("metadata that cannot go inside is thrown away", IMAGES, "beside = metadata.write_beside(target, recipe)",
        "beside = target", "image_files/test_corpus.py", "spoiled"),
    row("a signed image is edited", "image_files/containers.py",
        "kind in (PNG, JPEG, WEBP) and not any(", "kind in (PNG, JPEG, WEBP) or not any(",
        "jobs/test_signed_images.py", "stays_valid"),
    row("a source image from 0 to 1 is taken for one from 0 to 255", SOURCES, 'image.mode == "F" and high <= 1', "False",
        ARRIVING, "arrives_as_it_looks"),
    row("the orientation of a source image is ignored", SOURCES, "image = decode.upright(_as_it_looks(image), decode.orientation_of(image))",
        "image = _as_it_looks(image)", ARRIVING, "arrives_as_it_looks"),
    row("a limit of pixels for other images refuses what was paid for", "image_files/decode.py",
        "file = _ShortReads(data) if kind.media_type == WEBP and facts is not None else io.BytesIO(data)",
        "file = io.BytesIO(data)", "image_files/test_saving.py", "limit_of_pixels"),
    row("a column in an option is sent as written", "results/table_rows.py",
        "text = fill(value, {name: _written(cells[name]) for name in used})", "text = value",
        "results/test_table_rows.py", "into_every_text"),
    row("jobs are counted on from a stranger's number", "journal/recovery.py", "if newest > _MOST_ROWS:", "if False:",
        "journal/test_journal.py", "strangers_number"),
    row("the orientation that XMP names turns an opened image", "image_files/decode.py",
        'return exif.read_orientation(image.info.get("exif", b"").removeprefix(b"Exif\\0\\0"))',
        "return int(image.getexif().get(exif.ORIENTATION, 1))", ARRIVING, "arrives_as_it_looks"),
    row("a key that is wrapped is shown", "api/api_key.py", "_WRAPPED.join(", '"".join(', "api/test_url_policy.py", "escaped"),
    row("a measure that is not JSON stops all tables", JOURNAL, "with suppress(ValueError, RecursionError):", "if True:",
        "attacks/test_hostile_folder.py", "measures and JSON"),
    row("a file stands where images are to be kept", "journal/layout.py", "is_folder = path.name in _FOLDERS", "is_folder = False",
        "attacks/test_hostile_folder.py", "unsaved and file"),
    row("values that mean nothing are sent", SOURCES, "if not np.isfinite(values).all():", "if False:",
        ARRIVING, "cannot_be_sent"),
    row("a URL that the service cannot fetch is sent", "api/url_policy.py", "if _is_local(host) or is_inner_name or (",
        "if False and (", ARRIVING, "cannot_fetch"),
    row("a pickled image forgets its bytes", "results/result.py", "self.thumbnail_size, held)",
        "self.thumbnail_size, None)", "results/test_saved_image.py", "needs_no_file"),
    row("thumbnails lie on their side", "image_files/decode.py", "return facts, upright(small(image, side), facts.orientation)",
        "return facts, small(image, side)", "results/test_saved_image.py", "upright"),
    row("half an image is taken if Pillow is told to read such", "image_files/decode.py",
        "if lenient and not ImageFile.LOAD_TRUNCATED_IMAGES:", "if lenient:", KEPT, "half_an_image"),
    row("an expired URL is a failure", COLLECTING,
        "if refresh == ASSET_REFRESHES or not any(error.status in GONE for error in errors.values()):", "if True:",
        FAULTS, "download and 410"),
    row("one bad image holds back the rest", COLLECTING, "            errors[k] = saved\n            if saved",
        "            errors[k] = saved\n            break\n            if saved", "jobs/test_resume.py", "one_bad_image"),
    row("a gap moves the images after it", COLLECTING, "(*record.images[:k], *gaps, name,", "(*record.images[:k], name,",
        "jobs/test_resume.py", "one_bad_image"),
    row("a failed poll is a failed job", COLLECTING, "if after is not retry_policy.AfterPoll.AGAIN:", "if True:",
        FAULTS, "poll and 500"),
    row("a gateway's page ends a job", WIRE, "if kind is ModelNotFoundError and not submitting and not isinstance(parsed, Mapping):",
        "if False:", "jobs/test_poll_and_save.py", "404"),
    row("a new job that is not known yet counts as gone", PACING, " and age >= NEW_JOB_SECONDS", "",
        "jobs/test_poll_and_save.py", "not_known_everywhere"),
    row("a poll sleeps for as long as it is told to", PACING,
        "or retry_after_seconds(error) > min(LONGEST_WAIT, left)", "or False",
        "jobs/test_poll_and_save.py", "told_to_wait_long"),
    row("polls are timed on the wall clock", COLLECTING, "age = time.monotonic() - submitted",
        "age = time.time() - (record.submitted_at or 0)", "jobs/test_poll_and_save.py", "clock"),
    row("pending jobs are forgotten on restart", PAST,
        "RESUMABLE = (JobStatus.RUNNING, JobStatus.DOWNLOADING, JobStatus.PAUSED)", "RESUMABLE = ()",
        CRASH, "committed"),
    row("a sent job of a dead kernel is taken for a plan", PAST,
        "            if record.status is JobStatus.QUEUED:\n                _settle",
        "            if record.status in (JobStatus.QUEUED, JobStatus.SUBMITTING):\n                _settle",
        CRASH, "intent and POST"),
    row("a living kernel is taken for a dead one", "journal/locks.py", "        except (Timeout, OSError):\n            return True",
        "        except (Timeout, OSError):\n            return False", CRASH, "lives or living"),
    row("a row is taken over without a swap", JOURNAL, "UPDATE jobs SET owner=? WHERE n=? AND owner=? AND status=?",
        "UPDATE jobs SET owner=? WHERE n=? AND ?<>'' AND ?<>''", "journal/test_journal.py", "taken"),
    row("an id is not written again at the next poll", COLLECTING, "        if job.unwritten is not None:", "        if False:",
        "journal/test_no_space.py", "could_not_be_written"),
    row("a damaged journal is overwritten", RECOVERY, "os.link(path, aside)", "aside.touch()",
        "journal/test_journal.py", "kept_aside"),
    row("an older journal is not brought up", TABLES, "MIGRATIONS[_version(connection) :]", "MIGRATIONS[_version(connection) : 1]",
        "journal/test_journal.py", "brought_up"),
    row("the journal may be read by anybody", TABLES, "os.O_EXCL, 0o600", "os.O_EXCL, 0o644",
        "journal/test_journal.py", "only_its_user"),
    row("a second journal frees the locks of the first", TABLES, " | os.O_EXCL", "", "journal/test_journal.py", "second_journal"),
    row("torn rows are not looked for", RECOVERY, "    if broken:", "    if False:",
        "journal/test_journal.py", "json_is_torn"),
    row("rows of a damaged journal are not taken over", RECOVERY, "kept = _salvage(path, journal)", "kept = 0",
        "journal/test_journal.py", "damage_in_the_middle"),
    row("a recovery puts the damaged journal aside first", RECOVERY, "    with closing(Journal(new)) as journal:",
        "    path.rename(path.with_name('gone'))\n    with closing(Journal(new)) as journal:",
        "journal/test_journal.py", "recovery_that_is_killed"),
    row("a mistyped id ends the unconfirmed job", LIFE, "_unless_mistyped(job, collect(job))", "collect(job)",
        "jobs/test_resume.py", "mistyped"),
    row("an id is attached to two jobs", PAST, "if other is not None and other.number != n:", "if False:",
        "jobs/test_resume.py", "another_job"),
    row("a reopened job forgets its images", PAST, "replace(status=JobStatus.PAUSED)  # the images",
        "replace(status=JobStatus.PAUSED, images=())  # the images", "jobs/test_resume.py", "still_there"),
    row("replicates are selected by place", "results/code_export.py", 'f"[{request.sample!r}]"', '"[0]"',
        "results/test_code_export.py", "same_request"),
    # ---- secrets and strangers ----
    row("the key goes to the images' host", TRANSPORT, "exchange = Exchange(request_target(url))",
        "exchange = Exchange(request_target(url), self._key)", FAULTS, "download and 500"),
    row("a service that repeats the key is believed", TRANSPORT, "    if spellings is None:\n        return body\n    parts",
        "    if True:\n        return body\n    parts", "test_secrets.py", "no_byte"),
    row("the frames of a commit that fails show the key", TRANSPORT, "raise failure.with_traceback(None)", "raise failure",
        "attacks/test_key_in_frames.py", "commit"),
    row("a key that comes back escaped is not known", "api/api_key.py", "map(_spelling, key)", "map(re.escape, key)",
        "test_secrets.py", "no_byte"),
    row("the settings show the key to a traceback", "api/api_key.py", 'return "<secret>" if self._text.strip() else ""',
        "return self._text", "test_settings.py", "as_data"),
    row("the key is not cleaned", "api/api_key.py", 'key, api_key = api_key.strip(), ""', 'key, api_key = api_key, ""',
        "test_settings.py", "pasted"),
    row("a script without a person gets painted images", "settings.py", "if not person_present:", "if False:",
        "test_settings.py", "table"),
    row("text is not escaped", "view/markup.py", "else Html(escape(clean(text), quote=True))", "else Html(clean(text))",
        "test_escaping.py", "somebody_else"),
)  # fmt: skip


def pytest(copy: Path, files: Sequence[str], word: str = "") -> tuple[bool | None, str]:
    """Whether the tests pass in the copy, None if they cannot be run, and the last line that they print."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIXELDOJO_", "KLING_", "PYTEST_"))
    }
    env |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": str(copy / ".h")}
    options = ["-x", "-q", "-n", "0", "-m", "", "--no-header", "--tb=line", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options]
    command += [*files, *(["-k", word] if word else [])]
    try:
        ended = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False, f"no end after {SECONDS} s"
    message = [line for line in ended.stdout.splitlines() if line.strip()] or ended.stderr.splitlines()[-1:] or [""]
    if ended.returncode not in (0, 1):
        return None, f"not run (exit code {ended.returncode}): {message[-1]}"
    failed = [line for line in message if line.startswith(("FAILED", "ERROR"))]
    return ended.returncode == 0, (failed[0].partition(" ")[2] if failed else message[-1])


def copied(place: Path, name: str) -> Path:
    """A copy of what the tests need."""
    copy = place / name
    skip = shutil.ignore_patterns("__pycache__", "screenshots", "browser")
    for part in ("kling_notebook", "tests", "notebooks"):
        shutil.copytree(HERE / part, copy / part, ignore=skip)
    for part in ("pyproject.toml", "README.md"):
        shutil.copy(HERE / part, copy / part)
    return copy


def mutated(place: Path, number: int, mutation: Mutation) -> Path:
    copy = copied(place, str(number))
    for edit in mutation.edits:
        path = copy / "kling_notebook" / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise SystemExit(
                f"{mutation.name!r} no longer fits {edit.file}: {edit.old!r} is there {text.count(edit.old)} times."
            )
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    return copy


def judge(place: Path, number: int, mutation: Mutation) -> tuple[bool, str, float]:
    """Whether the tests noticed, by which one, in how many seconds."""
    began = time.monotonic()
    copy = mutated(place, number, mutation)
    passed, message = pytest(copy, [mutation.tests], mutation.word)
    shutil.rmtree(copy, ignore_errors=True)
    return passed is False, message, time.monotonic() - began


def broken(place: Path, chosen: Sequence[Mutation]) -> int:
    """How many of the named tests fail although nothing is wrong, or are none: they prove nothing, and are printed."""
    copy = copied(place, "unchanged")
    where = subprocess.run([sys.executable, "-c", "import kling_notebook; print(kling_notebook.__file__)"], cwd=copy,
                           env=os.environ | {"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=True)  # fmt: skip
    if not Path(where.stdout.strip()).is_relative_to(copy):
        raise SystemExit(f"The copy is not what would be tested, but {where.stdout.strip()}.")
    subsets: dict[tuple[str, str], None] = dict.fromkeys((one.tests, one.word) for one in chosen)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ran = zip(subsets, pool.map(lambda one: pytest(copy, [one[0]], one[1]), subsets), strict=True)
        failing = [(subset, message) for subset, (passed, message) in ran if not passed]
    for (tests, word), message in failing:
        print(f"BROKEN    {tests} -k {word!r} where nothing is wrong: {message}")
    return len(failing)


def main(words: Sequence[str]) -> int:
    chosen = [one for one in MUTATIONS if not words or any(word in one.name for word in words)]
    if "--list" in words or not chosen:
        print(*(one.name for one in MUTATIONS), sep="\n")
        return 0 if "--list" in words else 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kling-mutations-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        failing = broken(Path(folder), chosen)
        judged = list(pool.map(lambda pair: judge(Path(folder), *pair), enumerate(chosen)))
    width = max(len(one.name) for one in chosen)
    for one, (noticed, message, seconds) in zip(chosen, judged, strict=True):
        print(
            f"{'caught' if noticed else 'SURVIVED':8}  {one.name:{width}}  {seconds:4.0f} s  {message.partition(' - ')[0][-90:]}"
        )
    survived = sum(not noticed for noticed, _, _ in judged)
    print(f"{len(chosen) - survived} of {len(chosen)} caught in {time.monotonic() - began:.0f} s")
    return 1 if survived or failing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
