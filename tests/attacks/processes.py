"""Processes that are killed, copied, interrupted, or work in one folder; and what the service and the folder say then.

The children are real processes with sessions of their own. The service is a sandbox in this process, which counts.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import NamedTuple

from kling_notebook.api.errors import KlingError
from kling_notebook.api.job import JobStatus
from kling_notebook.image_files import decode
from kling_notebook.sandbox import Fault, Sandbox
from kling_notebook.session.session import Session

from .folders import paint

BUYER = """
import json, sys
from kling_notebook.session.session import Session
given, prompts, limit = map(json.loads, sys.argv[1:])
if limit:
    import resource
    name, value = limit
    if name == "RLIMIT_AS":  # beyond what is mapped already
        value += int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(getattr(resource, name), (value, value))
session = Session(given)
print("ready", flush=True)
handles = [*session.resume().jobs]
handles += session.start([session.request(p) for p in prompts], source="python", max_credits=1000, reuse=True).handles
for handle in handles:
    handle.exception(timeout=120)
"""


class Figures(NamedTuple):
    """One row of the table: what was done, what came of it, and what must not be."""

    attack: str
    figures: str
    faults: list[str]


def settings(folder: Path, sandbox: Sandbox) -> dict[str, object]:
    return {"api_key": sandbox.key, "base_url": sandbox.base_url, "folder": str(folder), "requests_per_minute": 6000}


Limit = tuple[str, int]  # a name of the module resource, and how much


def child(folder: Path, sandbox: Sandbox, prompts: list[str], limit: Limit | None = None) -> subprocess.Popen[str]:
    """A process that buys these prompts, with what others left behind; it has begun when this returns."""
    given = (settings(folder, sandbox), prompts, limit)
    command = [sys.executable, "-c", BUYER, *map(json.dumps, given)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def wait_for_a_moment(process: subprocess.Popen[str], sandbox: Sandbox, jobs: int, chance: random.Random) -> None:
    """Until some of the process's jobs have come to the service, and a little longer."""
    wanted = sandbox.count("submit") + chance.randrange(jobs + 1)
    while sandbox.count("submit") < wanted and process.poll() is None:
        time.sleep(0.01)
    time.sleep(chance.uniform(0.0, 0.5))


def posts(sandbox: Sandbox) -> Counter[str]:
    """How often the service was asked for each prompt."""
    return Counter(json.loads(entry.body)["prompt"] for entry in sandbox.log if entry.kind == "submit" and entry.body)


def settle(folder: Path, sandbox: Sandbox) -> tuple[list[str], int, int]:
    """Resume all that is left in the folder. What is wrong then; how many images and unconfirmed jobs there are."""
    session, faults, images = Session(settings(folder, sandbox)), [], 0
    try:
        for handle in session.resume().jobs:
            handle.exception(timeout=120)
        for record in session.rows(limit=None):
            if record.job_id and record.status is not JobStatus.COMPLETED:
                faults.append(f"job {record.number} is {record.status.value}: {record.error}")
            for name in record.images:
                images += 1
                try:
                    decode.decode((folder / name).read_bytes(), 1, lenient=False)
                except (OSError, decode.NotAnImageError) as error:
                    faults.append(str(error))
        unconfirmed = sum(record.status is JobStatus.UNCONFIRMED for record in session.rows(limit=None))
        lost = sandbox.charges - images - unconfirmed
        if lost > 0:
            faults.append(f"{lost:g} images were paid for and are neither saved nor named")
    finally:
        session.close()
    return faults + [f"left behind: {path.name}" for path in folder.glob(".*.part")], images, unconfirmed


def repeated(sandbox: Sandbox) -> list[str]:
    return [f"{prompt!r} was sent {n} times" for prompt, n in posts(sandbox).items() if n > 1]


def kills(place: Path, rounds: int, jobs: int, chance: random.Random) -> Figures:
    """SIGKILL at a random moment, with jobs in flight; each next process resumes and buys more."""
    with Sandbox(latency=0.3, paint=paint) as sandbox:
        for k in range(rounds):
            process = child(place / "k", sandbox, [f"fox {k} {job}" for job in range(jobs)])
            wait_for_a_moment(process, sandbox, jobs, chance)
            process.kill()
            process.communicate()
        faults, images, unconfirmed = settle(place / "k", sandbox)
        faults += repeated(sandbox)
        figures = f"{sandbox.count('submit')} POSTs for {len(posts(sandbox))} prompts, "
    figures += f"{images} images saved, {unconfirmed} jobs unconfirmed"
    return Figures(f"{rounds} SIGKILLs with up to {jobs} jobs in flight", figures, faults)


def copies(place: Path, number: int, jobs: int, chance: random.Random) -> Figures:
    """The folder is copied at random moments while jobs run; each copy is resumed as a machine of its own."""
    with Sandbox(latency=0.5, paint=paint) as sandbox:
        process = child(place / "k", sandbox, [f"fox {job}" for job in range(jobs)])
        made = []
        for k in range(number):
            wait_for_a_moment(process, sandbox, jobs // number, chance)
            copy = place / f"copy {k}"
            with suppress(shutil.Error):  # a temporary that went away meanwhile; the rest has been copied
                shutil.copytree(place / "k", copy, ignore=shutil.ignore_patterns("locks"))
            made.append(copy)
        process.communicate(timeout=180)
        sent, acknowledged, faults = sandbox.count("submit"), 0, []
        for copy in made:
            session = Session(settings(copy, sandbox))
            acknowledged += sum(record.job_id is not None for record in session.rows(limit=None))
            for handle in session.resume().jobs:
                handle.exception(timeout=120)
            faults += [
                f"{copy.name}: job {record.number} is {record.status.value}"
                for record in session.rows(limit=None)
                if record.job_id and record.status is not JobStatus.COMPLETED
            ]
            session.close()
        if sandbox.count("submit") != sent:
            faults.append("a copy sent a request again")
    return Figures(f"{number} copies at random moments, each resumed", f"{acknowledged} acknowledged jobs", faults)


def together(place: Path, processes: int, jobs: int, killed: int, chance: random.Random) -> Figures:
    """Several processes ask for the same in one folder, and some are killed."""
    with Sandbox(latency=0.3, paint=paint) as sandbox:
        prompts = [f"fox {job}" for job in range(jobs)]
        running = [child(place / "k", sandbox, chance.sample(prompts, jobs)) for _ in range(processes)]
        wait_for_a_moment(running[0], sandbox, jobs, chance)
        for process in running[:killed]:
            process.kill()
        for process in running:
            process.communicate(timeout=180)
        faults, images, _ = settle(place / "k", sandbox)
        faults += repeated(sandbox)
    return Figures(f"{processes} processes in one folder, {killed} killed", f"{images} images for {jobs}", faults)


def limits(place: Path, sizes: int, jobs: int, chance: random.Random) -> Figures:
    """Files cannot grow, or there are few of them, or little memory; then the same is asked for without limits.

    The largest a file may be stands for a full disk, which needs no privileges in this way: the journal, an image, or
    neither meets it.
    """
    # A new journal takes some 50 kB, and an image here less than 1 kB.
    grows: list[Limit] = [("RLIMIT_FSIZE", 4096 * chance.randrange(24)) for _ in range(sizes)]
    tried: list[Limit] = [*grows, ("RLIMIT_NOFILE", 40), ("RLIMIT_NOFILE", 20), ("RLIMIT_AS", 32 * 1024**2)]
    faults, sent, images, unconfirmed = [], 0, 0, 0
    for k, limit in enumerate(tried):
        folder, prompts = place / str(k), [f"fox {job}" for job in range(jobs)]
        with Sandbox(latency=0.1, paint=paint) as sandbox:
            for given in (limit, None):
                child(folder, sandbox, prompts, given).communicate(timeout=180)
            more, saved, unknown = settle(folder, sandbox)
            faults += [f"{limit}: {fault}" for fault in more + repeated(sandbox)]
            sent, images, unconfirmed = sent + sandbox.count("submit"), images + saved, unconfirmed + unknown
    text = f"{len(tried)} limits: a full disk at {sizes} sizes, 40 and 20 file handles, little memory"
    return Figures(text, f"{sent} POSTs, {images} images saved, {unconfirmed} jobs unconfirmed", faults)


KINDS = (
    Fault("submit", "drop_before"),
    Fault("submit", "drop_after"),
    Fault("submit", "status", status=500),
    Fault("submit", "html"),
    Fault("submit", "wire", raw=b"HTTP/1.1 200 OK\r\nContent-Ty"),
    Fault("submit", "status", status=400),
    Fault("poll", "drop_after"),
    Fault("poll", "status", status=503),
    Fault("poll", "html"),
    Fault("download", "wrong_content"),
    Fault("download", "drop_after"),
    Fault("download", "status", status=500),
)


def faulty(place: Path, jobs: int, chance: random.Random) -> Figures:
    """Many jobs, half of everything faulty."""
    with Sandbox(latency=0.1, paint=paint) as sandbox:
        for at in range(1, jobs):
            if chance.random() < 0.5:
                sandbox.add_fault(replace(chance.choice(KINDS), at=at))
        session = Session(settings(place / "k", sandbox))
        call = session.start([session.request(f"fox {k}") for k in range(jobs)], source="python", max_credits=jobs)
        for handle in call.handles:
            handle.exception(timeout=170)
        session.close()
        sandbox.clear_faults()
        faults, images, unconfirmed = settle(place / "k", sandbox)
        faults += repeated(sandbox)
    text = f"{jobs} jobs, half of everything faulty, {len(KINDS)} kinds"
    return Figures(text, f"{sandbox.charges:g} charges, {images} images saved, {unconfirmed} unconfirmed", faults)


CELL = "import kling_notebook as kling\nkling.generate('fox {}', show_progress=False).number"


def interrupts(place: Path, number: int, chance: random.Random) -> Figures:
    """Interrupts at random moments in a real kernel; the next cell must run."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import KernelManager
    from jupyter_core.utils import ensure_event_loop

    faults, ends = [], []
    with Sandbox(latency=0.2, paint=paint) as sandbox:
        # Without folders to look in, the kernel is this interpreter's own and not another environment's "python3".
        manager = KernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
        env = {
            "PIXELDOJO_API_KEY": sandbox.key,
            "PIXELDOJO_API_BASE": sandbox.base_url,
            "KLING_FOLDER": str(place / "k"),
        }
        manager.start_kernel(env=os.environ | env)
        client = manager.client()

        def interrupt() -> None:
            manager.interrupt_kernel()
            ensure_event_loop().close()  # jupyter_client makes one for each thread, and leaves it open

        client.start_channels()
        client.wait_for_ready(timeout=120)
        try:
            for k in range(number):
                # With stop_on_error a kernel aborts what comes in the moment after the reply, the next cell too.
                client.execute(CELL.format(k), store_history=False, stop_on_error=False)
                timer = threading.Timer(chance.uniform(0.0, 0.8), interrupt)
                timer.start()
                with suppress(Empty):  # an interrupt between two cells may take the reply with it, in any kernel
                    client.get_shell_msg(timeout=30)
                timer.cancel()
                timer.join()
                reply = client.execute_interactive("1 + 1", timeout=120, output_hook=lambda message: None)  # noqa: ARG005
                ends.append(f"{reply['content']['status']} {reply['content'].get('ename', '')}")
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            ensure_event_loop().close()
        fine = ends.count("ok ")
        if fine < number - 1:  # an interrupt that comes between the two cells ends the second, as in any kernel
            faults.append(f"{number - fine} next cells did not run: {sorted(set(ends))}")
        more, images, _ = settle(place / "k", sandbox)
        faults += more + repeated(sandbox)
        if sandbox.charges != sandbox.count("submit"):
            faults.append(f"{sandbox.count('submit')} POSTs and {sandbox.charges} charges")
        sent = sandbox.count("submit")
    return Figures(
        f"{number} interrupts in a real kernel", f"{fine} next cells fine, {sent} POSTs, {images} images", faults
    )


def replies(number: int, chance: random.Random) -> Figures:
    """Random replies, made by breaking good ones: an answer or an error of this package, and nothing else."""
    from kling_notebook.api import wire

    good = [
        b'{"jobId": "job_1", "status": "pending", "statusUrl": "http://127.0.0.1/api/v1/jobs/job_1", "creditCost": 1}',
        b'{"jobId": "job_1", "status": "completed", "output": {"images": ["http://127.0.0.1/a.png"]}, "creditCost": 1}',
        b'{"status": "failed", "error": {"code": "nsfw", "message": "no"}}',
        b'{"data": {"id": "job_1", "state": "succeed", "output": {"urls": [{"image_url": {"url": "https://a/b"}}]}}}',
        b"<html><title>502</title></html>",
    ]
    values = [b"null", b"[]", b"{}", b"-1", b"1e400", b'"\\ud800"', b"true", b"[[[[", b'"x"', b"\xff", b"9" * 400]
    faults = []

    def attempt(read: Callable[..., object], *what: object) -> None:
        try:
            read(*what, base_url="http://127.0.0.1/api/v1")
        except KlingError:
            pass
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error} for {what!r:.200}")

    for _ in range(number):
        body = bytearray(chance.choice(good))
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(body))
            body[at : at + chance.randrange(12)] = chance.choice([*values, bytes([chance.randrange(256)])])
        status = chance.choice([200, 202, 400, 402, 404, 429, 500, 0, 299])
        attempt(wire.read_submit, status, {}, bytes(body))
        attempt(wire.read_job, status, {}, bytes(body), "job_1")
    return Figures(
        f"{2 * number} random replies", f"{len(faults)} other than an answer or an error of this package", faults
    )
