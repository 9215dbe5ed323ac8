"""``kling-notebook lab``: the notebooks beside the user, and JupyterLab on them."""

import importlib.util
import os
import socket
from pathlib import Path

from . import CannotStartError
from .notebooks import FIRST, put_into


def run(folder: Path, *, port: int | None, open_browser: bool) -> None:
    """Start JupyterLab in this process; returns, or exits, when it is shut down."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise CannotStartError('JupyterLab is not installed. Install it: pip install "kling-notebook[lab]"')
    if port is not None:
        check_port(port)
    print("\n".join(put_into(folder)), flush=True)
    answer_the_question_about_news()
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(arguments(folder.resolve(), port=port, open_browser=open_browser))


def arguments(folder: Path, *, port: int | None, open_browser: bool) -> list[str]:
    """JupyterLab's own command line: serve the notebook's folder, open the notebook."""
    return [
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        *([] if port is None else [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]),
        *([] if open_browser else ["--no-browser"]),
        # Root is a container's only user, whom Jupyter refuses without this.
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]


def answer_the_question_about_news() -> None:
    """JupyterLab asks at its first start whether it may fetch news, over the corner of the first screen: not here.

    Only for this process: the user's own settings of JupyterLab stay as they are.
    """
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(
        filter(None, (str(Path(__file__).parent / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")))
    )


def check_port(port: int) -> None:
    """Raise CannotStartError if something else listens on the loopback port; 0 is any free one."""
    with socket.socket() as probe:
        if os.name == "posix":  # a port that was just given up is free; elsewhere the option would steal a taken one
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CannotStartError(f"Port {port} cannot be used: {error.strerror}. Choose another.") from None
