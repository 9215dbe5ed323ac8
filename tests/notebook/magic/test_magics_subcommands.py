"""The subcommands of the magic in a real kernel, against a sandbox that counts what arrives."""

from __future__ import annotations

import re

import pytest

# subcommands ----------------------------------------------------------------------------------------------------------


def test_past_jobs_are_shown_starred_noted_and_found(kernel, service):
    kernel.ok("%%kling -n 2 -o fox\na red fox")
    kernel.ok("%%kling\nan owl")
    assert "a red fox" in kernel.ok("%kling show 1").html
    assert kernel.ok("%kling show 1b").html.count("<img") == 1
    assert kernel.ok("x = %kling show 1b\nprint(x.address)").text.strip() == "1b"
    code = kernel.ok("%kling show 1 --code").text
    assert code.strip() == "%%kling --num-outputs 2\na red fox"
    kernel.ok("%kling star 1b")
    kernel.ok("""%kling note 1 it's the "best" --so far""")
    starred = kernel.ok("%kling history --starred").text
    assert "a red fox" in starred
    assert """it's the "best" --so far""" in starred
    assert "owl" not in starred
    assert "owl" in kernel.ok("%kling history --search OWL --since 1h --status completed").text
    assert "No jobs" in kernel.ok("%kling history --status failed").text
    assert "older ones: --page 2" in kernel.ok("%kling history --limit 1").text
    assert "a red fox" in kernel.ok("%kling history --limit 1 --page 2").text
    beyond = kernel.ok("%kling history --limit 1 --page 9").text
    assert "there are 2 pages of them: --page 2 shows the oldest" in beyond
    assert "there is 1 page of them" in kernel.ok("%kling history --page 2").text
    assert "No jobs" in kernel.ok("%kling history --limit 1000000000 --page 1000000000").text
    kernel.ok("%kling star 1b --off")
    assert "No jobs" in kernel.ok("%kling history --starred").text
    frame = kernel.ok("import kling_notebook as kling; print(kling.history().loc[1, 'note'])")
    assert frame.text.strip() == """it's the "best" --so far"""
    assert service.count("submit") == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("show 99", "No job 99 in this folder"),
        ("show 1:x", "No job 1:x in this folder"),
        ("show 1z", "No job 1 in this folder"),
        ("show", "Write: %kling show JOB|IMAGE [--code]."),
        ("star 1", "Say which image"),
        ("note", "Write: %kling note JOB TEXT."),
        ("note 1", "Write: %kling note JOB TEXT."),
        ("history --since yesterday", "not 'yesterday'"),
        ("history --status complted", "Did you mean completed?"),
        ("history --status xyzzy", "There are queued, "),
        ("history --limit 1.5", "whole number"),
        ("history --limit 1e30", "whole number up to 1000000000, not '1e30'"),
        ("history --page 1e30", "whole number up to 1000000000, not '1e30'"),
        ("history --page 0", "above 0"),
        ("budget lots", "%kling budget needs a number"),
        ("reuse maybe", "on or off"),
        ("sandbox 1", "on or off"),
        ("dismiss 99", "No job 99 in this folder"),
        ("status now", "Write: %kling status."),
        ("status --all", "%kling status takes no options."),
        ("resume 99", "No job 99 in this folder"),
    ],
)
def test_a_wrong_word_after_a_subcommand_is_one_line(shared_service, line, says):
    kernel, service = shared_service
    before = service.count("submit")
    reply = kernel.run(f"%kling {line}")
    assert reply.ename == "InputError"
    assert len(reply.traceback) == 1
    assert says in reply.evalue
    assert not re.search(r"[?.]\.$", reply.evalue)
    assert service.count("submit") == before


def test_the_setting_nest_reaches_the_wait(kernel):
    kernel.ok("%config KlingMagics.nest = 'off'")
    kernel.ok("%%kling\na fox")
    assert kernel.ok("import asyncio; print(hasattr(asyncio, '_nest_patched'))").text.strip() == "False"
    kernel.ok("%config KlingMagics.nest = True")
    kernel.ok("%%kling --reuse\na fox")
    kernel.ok("%%kling\nan owl")
    assert kernel.ok("print(hasattr(asyncio, '_nest_patched'))").text.strip() == "True"


def test_a_list_of_pil_images_is_an_axis_of_the_magic(kernel, service):
    kernel.ok("from PIL import Image\npils = [Image.new('RGB', (400, 400), color) for color in ('red', 'blue')]")
    reply = kernel.ok("%%kling --sweep image=$pils -o both\nat night")
    assert reply.html.count("<img") == 2
    assert service.count("submit") == 2
    labels = kernel.ok("print(*both.table()['image'])").text.split()
    assert all(re.fullmatch(r"\.kling/sources/[0-9a-f]{32}\.png", label) for label in labels)
    assert kernel.ok("both").html.count("<img") == 2
    assert kernel.ok(f"%%kling --reuse --image {labels[1]}\nat night").html.count("reused") == 1
    assert service.count("submit") == 2


def test_images_of_variables_and_addresses_are_sources(kernel):
    kernel.ok("%%kling -n 2 -o fox\na fox")
    for name, label in (("fox[1]", "1b"), ("1a", "1a"), ("last", "3a")):
        kernel.ok(f"%%kling --image {name} -o made\nat night")
        assert kernel.ok("print(made.request.image.label)").text.strip() == label
    assert "Say which" in kernel.run("%%kling --image fox\nat night").evalue


def test_budget_and_reuse_are_reported_and_kept(kernel, service):
    assert "No budget" in kernel.ok("%kling budget").text
    kernel.ok("%kling budget 1.5")
    kernel.ok("%%kling\na fox")
    assert "0.5 left" in kernel.ok("%kling budget").text
    assert kernel.run("%%kling\nan owl").ename == "BudgetExceededError"
    kernel.ok("%kling budget off")
    kernel.ok("%%kling\nan owl")
    assert service.count("submit") == 2
    assert "Reuse is on for sweeps" in kernel.ok("%kling reuse").text
    kernel.ok("%kling reuse on")
    assert "reused" in kernel.ok("%%kling\nan owl").text
    assert service.count("submit") == 2


def test_the_sandbox_can_be_switched_on_and_off(kernel, service):
    assert "The sandbox is on." in kernel.ok("%kling sandbox on").text
    kernel.ok("%%kling\na fox")
    assert service.count("submit") == 0
    kernel.ok("%kling sandbox off")
    kernel.ok("%%kling\na fox")
    assert service.count("submit") == 1


@pytest.mark.parametrize(
    "message",
    [
        "sandbox = True",
        pytest.param("folder = 'elsewhere'", marks=pytest.mark.long),
        pytest.param("requests_per_minute = 7", marks=pytest.mark.long),
    ],
)
def test_a_default_that_needs_a_new_session_buys_nothing_until_there_is_one(kernel, service, message):
    kernel.ok("%%kling\na red fox")
    kernel.ok(f"%config KlingMagics.{message}")
    name = message.partition(" ")[0]
    for cell in ("%%kling\nan owl", "%kling config"):
        reply = kernel.run(cell)
        assert reply.ename == "SettingsError"
        assert reply.evalue.startswith(f"{name} is ")
        assert len(reply.traceback) == 1
    assert service.count("submit") == 1
    kernel.ok("import kling_notebook as kling\nkling.connect()")
    assert re.search(rf"{name} +\S+ +%config", kernel.ok("%kling config").text)
    if name == "sandbox":
        kernel.ok("%%kling\nan owl that is free")
        assert service.count("submit") == 1
    kernel.ok(f"%config KlingMagics.{name} = None\n%kling sandbox off")
    kernel.ok("%%kling\nan owl")
    assert service.count("submit") == 2


def test_check_posts_nothing_and_config_hides_the_key(kernel, service):
    check = kernel.ok("%kling check").text
    for words in ("host", "key", "accepted", "folder", "journal"):
        assert words in check
    assert service.count("submit") == 0
    config = kernel.ok("%kling config")
    assert service.key not in config.text + config.html
    assert re.search(r"api_key +set +PIXELDOJO_API_KEY", config.text)


def test_check_warns_of_a_kernel_that_stops_reading_requests(kernel):
    assert "ipykernel" not in kernel.ok("%kling check").text
    for version in ("7.0.0", "7.3.1"):
        kernel.ok(f"import ipykernel\nipykernel.__version__ = {version!r}")
        assert f"ipykernel {version} now and then stops reading" in kernel.ok("%kling check").text
    for version in ("6.31.0", "7.4.0", "8.0.0b1"):
        kernel.ok(f"ipykernel.__version__ = {version!r}")
        assert "ipykernel" not in kernel.ok("%kling check").text


def test_config_can_be_looked_at_where_no_session_can_be_made(make_kernel):
    kernel = make_kernel(KLING_SANDBOX="0")
    kernel.ok("%load_ext kling_notebook")
    assert kernel.run("%kling status").ename == "SettingsError"
    assert "KLING_SANDBOX" in kernel.ok("%kling config").text


def test_login_asks_masked_checks_and_uses_the_key(make_kernel, service):
    kernel = make_kernel(PIXELDOJO_API_BASE=service.base_url, PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
    kernel.ok("%load_ext kling_notebook")
    assert kernel.run("%kling login", person=False).ename == "SettingsError"
    refused = kernel.answering("%kling login", ["pd_wrong_canary_key"])
    assert refused.ename == "UnauthorizedError"
    assert "canary" not in refused.text + str(refused.traceback)
    accepted = kernel.answering("%kling login", [service.key, "n"])
    assert "The key is accepted." in accepted.text
    assert service.key not in accepted.text + accepted.html
    kernel.ok("%%kling\na fox")
    assert service.count("submit") == 1
