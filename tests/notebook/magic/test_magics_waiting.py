"""Cells that wait or are interrupted, in a real kernel, against a sandbox that counts what arrives."""

from __future__ import annotations

import re
import time


def test_queued_cells_run_in_order_and_the_users_tasks_tick(on, make_sandbox):
    kernel = on(make_sandbox(latency=2.0))
    kernel.ok("import asyncio; ticks, order = [], []")
    kernel.ok("async def tick():\n    while True:\n        ticks.append(1); await asyncio.sleep(0.05)")
    kernel.ok("task = asyncio.create_task(tick())")
    first = kernel.send("n = len(ticks); get_ipython().run_cell_magic('kling', '-o fox', 'a fox'); order.append('fox')")
    second = kernel.send("order.append('second'); print(len(ticks) - n)")
    third = kernel.send("%%kling -o owl\nan owl")
    last = kernel.send("order.append('last'); print(order, fox.number, owl.number)")
    assert kernel.wait(first).status == "ok"
    assert int(kernel.wait(second).text) > 15
    assert kernel.wait(third).status == "ok"
    assert kernel.wait(last).text.strip() == "['fox', 'second', 'last'] 1 2"
    kernel.ok("task.cancel()")


def test_an_interrupt_stops_the_waiting_and_resume_collects(on, make_sandbox):
    service = make_sandbox(latency=8.0)
    kernel = on(service)
    cell = kernel.send("%%kling -o fox\na fox")
    kernel.until(lambda: service.count("submit") == 1)
    kernel.drain(0.7)
    kernel.interrupt()
    interrupted = time.monotonic()
    reply = kernel.wait(cell)
    assert time.monotonic() - interrupted < 5  # and not the eight seconds of the job
    assert reply.ename == "Interrupted"
    assert len(reply.traceback) == 1
    assert re.search(r"Job \d+ keeps running; %kling resume shows its images\.", reply.evalue)
    assert "not waited for" in reply.html
    assert kernel.ok("print(type(fox).__name__)").text.strip() == "JobHandle"
    resumed = kernel.ok("%kling resume")
    assert resumed.html.count("<img") == 1
    assert service.count("submit") == 1
    assert kernel.ok("print(len(fox.result()))").text.strip() == "1"


def test_an_interrupt_of_a_sweep_cancels_what_was_not_sent(on, make_sandbox):
    service = make_sandbox(latency=30.0)
    kernel = on(service)
    kernel.ok("%config KlingMagics.in_flight = 2")
    cell = kernel.send("%%kling --sweep sample=6\na fox")
    kernel.until(lambda: service.count("submit") == 2)
    kernel.drain(0.5)
    kernel.interrupt()
    reply = kernel.wait(cell)
    assert "4 requests were cancelled before being sent. 2 jobs keep running" in reply.evalue
    kernel.drain(1.0)
    assert service.count("submit") == 2


def test_a_loop_over_prompts_stops_at_the_first_interrupt(on, make_sandbox):
    service = make_sandbox(latency=30.0)
    kernel = on(service)
    kernel.ok("import kling_notebook as kling")
    cell = kernel.send(
        "for k in range(5):\n    try:\n        kling.generate(f'a fox {k}')\n    except Exception:\n        pass"
    )
    kernel.until(lambda: service.count("submit") == 1)
    kernel.drain(0.5)
    kernel.interrupt()
    assert kernel.wait(cell).ename == "Interrupted"
    kernel.drain(0.5)
    assert service.count("submit") == 1


def test_a_time_out_is_of_the_waiting_and_not_of_the_job(on, make_sandbox):
    service = make_sandbox(latency=6.0)
    kernel = on(service)
    reply = kernel.run("%%kling --timeout 2\na fox")
    assert reply.ename == "StillRunningError"
    assert reply.seconds < 5.9
    assert "Job 1 keeps running" in reply.evalue
    assert "<img" in kernel.ok("%kling resume 1").html
    again = kernel.ok("%kling resume 1")
    assert "<img" in again.html
    assert "Job 1: all its images are here already" in again.text
    assert service.count("submit") == 1
