"""A data set in a folder: original files, ``metadata.jsonl`` and a README, as Hugging Face's ImageFolder reads it."""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..api.errors import InputError
from ..api.generation_request import SourceImage
from ..api.parameters import PARAMETERS, path_from
from ..api.quantities import count
from .result import SavedImage, leads_out
from .sweep_result import free_name
from .table_rows import is_missing

_README = """\
---
configs:
- config_name: default
  data_files: "*"
---

# {title}

{images} of {jobs}, made with kling_notebook from Kling Image V3{backend}.

`metadata.jsonl` has one line per image: `file_name`, the prompt, the parameters of the model, and the columns of the
table or sweep it comes from. Load it with `datasets.load_dataset("imagefolder", data_dir=...)`.

| Parameter | Values |
|---|---|
{parameters}

To fill in: what the data set is for, how the prompts were chosen, its license, and the terms under which the images
may be used.
"""


def export(what: Sequence[tuple[SavedImage, Mapping[str, Any]]], folder: str | os.PathLike[str]) -> Path:
    """Write the data set. It appears under its name when it is complete, or not at all.

    Args:
        what: each image once, and its columns without paths. folder: new or empty.

    Raises:
        InputError: there are no images, one is gone, the folder is not empty, or it cannot be written.
    """
    target = path_from(folder, "folder")
    if not what:
        raise InputError("There are no images to export.", parameter="what")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"{target} is not an empty folder. Give a new name.", parameter="folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that it can be renamed; one level down, since a temporary folder is its owner's alone.
        with TemporaryDirectory(prefix=f".{target.name}.", suffix=".part", dir=target.parent) as temporary:
            part = Path(temporary) / target.name
            part.mkdir()
            _write(part, what)
            if target.exists():
                target.rmdir()
            part.replace(target)
    except OSError as error:
        why = f"{Path(error.filename).name}: {error.strerror}" if error.filename else str(error)
        raise InputError(
            f"{target} could not be written ({why}). Nothing was left behind.", parameter="folder"
        ) from None
    return target


def _write(part: Path, what: Sequence[tuple[SavedImage, Mapping[str, Any]]]) -> None:
    with (part / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for image, row in what:
            if leads_out(image.path):
                raise InputError(f"{image.path} is a link to a file outside of its folder.", parameter="what")
            shutil.copyfile(image.path, part / image.path.name)
            known = {key: value for key, value in row.items() if not is_missing(value)}
            if "image" in known:  # a name that the images themselves get there
                known["source_image"] = _file_name(known.pop("image"))
            # ImageFolder joins the lines to the files by file_name; a column of that name would take its place.
            known = {free_name(key, {"file_name"}, "item"): value for key, value in known.items()}
            file.write(json.dumps({"file_name": image.path.name} | known, ensure_ascii=False, default=str) + "\n")
    (part / "README.md").write_text(_readme(part.name, [image for image, _ in what]), encoding="utf-8")


def _file_name(label: str) -> str:
    """The last part of a source image's path or URL: the rest may name a machine, or hold a secret."""
    return re.split(r"[?#]", label)[0].replace("\\", "/").rstrip("/").rpartition("/")[2]


def _readme(title: str, images: Sequence[SavedImage]) -> str:
    lines = []
    for name in PARAMETERS:
        asked = [image.request.values.get(name) for image in images]
        values = Counter(_file_name(one.label) if isinstance(one, SourceImage) else str(one) for one in asked)
        if name != "prompt" and set(values) != {"None"}:
            shown = ", ".join(f"{value} ({n})" for value, n in values.most_common(6))
            lines.append(f"| {name} | {shown.replace('|', chr(92) + '|')} |")
    return _README.format(
        title=title,
        images=count(len(images), "image"),
        jobs=count(len({image.number for image in images}), "job"),
        backend=" (by the sandbox, not the model)" if all("sandbox" in image.caption for image in images) else "",
        parameters="\n".join(lines),
    )
