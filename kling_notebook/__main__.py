"""The ``kling-notebook`` command: lab, tour, sandbox, check. ``python -m kling_notebook`` is the same."""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .command import CannotStartError

EXIT_CODES = """\
exit codes:
  0    done
  1    it ran, and something failed: a cell of the tour, a line of the check
  2    it could not start: a bad option, a taken port, something not installed
  130  interrupted"""


def parser() -> argparse.ArgumentParser:
    """The whole command line. Each subcommand's ``run`` takes the parsed arguments and returns an exit code."""
    main = argparse.ArgumentParser(
        prog="kling-notebook",
        description="Kling Image V3 in Jupyter.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    main.add_argument("--version", action="version", version=f"kling-notebook {__version__}")
    # An abbreviated option would change its meaning when a later version adds another (allow_abbrev).
    commands = main.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], words: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=words.replace("%", "%%"),  # which argparse fills in, and the description not
            description=f"{words[0].upper()}{words[1:]}.",
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        return command

    lab = add("lab", _lab, "open JupyterLab on the example notebooks")
    lab.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        type=Path,
        default=Path("kling-notebooks"),
        help="where the notebooks are copied to; your own files are never overwritten (default: ./kling-notebooks)",
    )
    lab.add_argument("--port", type=_port, help="default: 8888, or the next free one")
    lab.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")

    tour = add("tour", _tour, "run the quickstart in the terminal, on the sandbox")
    tour.add_argument(
        "--dir",
        metavar="D",
        type=Path,
        default=Path("kling-tour"),
        dest="folder",
        help="where the executed notebook, its page and the images are left (default: ./kling-tour)",
    )
    tour.add_argument("--live", action="store_true", help="run against the service; needs a key and --max-credits")
    tour.add_argument(
        "--max-credits", metavar="N", type=_amount, help="what a live tour may spend in all; it makes 6 images"
    )

    sandbox = add("sandbox", _sandbox, "run the sandbox service alone, until interrupted")
    for name, kind, metavar, words in SANDBOX_OPTIONS:
        sandbox.add_argument(f"--{name}", type=kind, metavar=metavar, help=words)
    add("check", _check, "check key, service and folder without spending; the same as %kling check").add_argument(
        "--report", action="store_true", help="write the shapes of the replies, without values, to a file"
    )
    return main


def _number(kind: type, name: str, low: float, high: float, what: str) -> Callable[[str], Any]:
    """A type for argparse: a number in a range. ``name`` is its name in "invalid ... value"."""

    def read(text: str) -> Any:
        number = kind(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text} is not {what}")
        return number

    read.__name__ = name
    return read


_port = _number(int, "port", 0, 65535, "a port (0 to 65535)")
_amount = _number(float, "number", 0, sys.float_info.max, "an amount of 0 or more")
_count = _number(int, "whole number", 1, math.inf, "1 or more")
_share = _number(float, "share", 0, 1, "between 0 and 1")


# Name, type, what stands for the value in the help, and the help itself.
SANDBOX_OPTIONS: tuple[tuple[str, Callable[[str], Any], str | None, str], ...] = (
    ("port", _port, None, "default: any free one"),
    ("key", str, None, "the key it accepts (default: a random one, printed)"),
    ("latency", _amount, "S", "about how long a job takes (default: 2 to 3 s)"),
    ("credits", _amount, "N", "the balance it starts with"),
    ("rate-limit", _count, "N", "requests a minute (default: no limit)"),
    ("seed", int, "N", "another seed, other images (default: 0)"),
    ("fail-rate", _share, "P", "share of jobs that fail, 0 to 1 (default: 0)"),
)


def _lab(chosen: argparse.Namespace) -> int:
    from .command import lab  # here, as in the others: --help and --version must not wait for Jupyter

    lab.run(chosen.folder, port=chosen.port, open_browser=not chosen.no_browser)
    return 0


def _tour(chosen: argparse.Namespace) -> int:
    from .command import tour

    # Both or neither: a budget without --live would be ignored silently, and --live without one has no limit.
    if chosen.live != (chosen.max_credits is not None):
        raise CannotStartError("A live tour pays for images: give both --live and --max-credits N, or neither.")
    return 0 if tour.run(chosen.folder, live=chosen.live, max_credits=chosen.max_credits) else 1


def _sandbox(chosen: argparse.Namespace) -> int:
    from .command import sandbox

    sandbox.run(**{name: value for name, value in vars(chosen).items() if name != "run" and value is not None})
    return 0


def _check(chosen: argparse.Namespace) -> int:
    """Says what works also in a pipe and without a key, where a session for requests cannot be made."""
    from .api.errors import SettingsError
    from .calls import connect, current_session
    from .session.status import write_report

    # Without a usable key the folder and the journal can be checked all the same, on the sandbox.
    rows, of_the_folder = [], False
    try:
        session = current_session()
    except SettingsError as error:
        rows, of_the_folder = [("settings", "failed", str(error))], True
        session = connect(sandbox=True)
    try:
        for notice in [] if of_the_folder else session.pop_notices():
            print(notice)
        rows += [row for row in session.check() if not of_the_folder or row[0] in ("folder", "journal")]
    finally:
        session.close()
    if chosen.report:
        rows.append(("report", "ok", str(write_report(Path.cwd()))))
    width = max(len(what) for what, _, _ in rows)
    for what, verdict, text in rows:
        print(f"{what:<{width}}  {verdict:<7}  {text}")
    return int(any(verdict == "failed" for _, verdict, _ in rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code. Argparse itself exits with 2 on a bad command line."""
    from .api.errors import KlingError, SettingsError

    chosen = parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except (CannotStartError, KlingError, OSError) as error:
        print(f"kling-notebook: {error}", file=sys.stderr)
        return 2 if isinstance(error, CannotStartError | SettingsError) else 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
