"""A corpus of image files of every mode, depth, container oddity and breakage, bought one by one from the sandbox.

What is printed: saved, pixel-identical, metadata readable, refused with the reason. None may be refused that Pillow
reads, none lost, none spoiled. ``tests/benchmarks/pillow_corpus.py`` does the same over the images in Pillow's sdist.
"""

from __future__ import annotations

import importlib.util
import io
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from kling_notebook.jobs import poll_and_save

Make = Callable[..., Any]


def _load_service() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "pillow_corpus.py"
    spec = importlib.util.spec_from_file_location("kling_pillow_corpus", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


pillow_corpus = _load_service()
RAMP = Image.linear_gradient("L").resize((90, 60))
COLOR = Image.merge("RGB", (RAMP, RAMP.transpose(0), RAMP.transpose(1)))
FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (90, 60), color) for color in ("red", "blue")]}


def stored(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes, *, wrong: bool = False) -> bytes:
    checksum = zlib.crc32(kind + body) ^ wrong
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png_with(*chunks: bytes, image: bytes | None = None) -> bytes:
    data = image or stored(COLOR, "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_with(extra: bytes, at: int = 2) -> bytes:
    """A JPEG with something after its first (or, ``at`` 20, second) segment."""
    data = stored(COLOR, "JPEG")
    return data[:at] + extra + data[at:]


def webp_with(extra: bytes) -> bytes:
    data = stored(COLOR, "WEBP", exif=Image.Exif().tobytes() or b"")
    return b"RIFF" + struct.pack("<I", len(data) - 8 + len(extra)) + data[8:] + extra


def riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def text_png(**options: Any) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "words " * options.pop("count", 10), **options)
    return stored(COLOR, "PNG", pnginfo=info)


def exif(**tags: int) -> bytes:
    block = Image.Exif()
    block[0x010E], block[0x0112] = "a description", tags.get("orientation", 1)
    return block.tobytes()


def shown() -> dict[str, bytes]:
    """What Pillow reads to the last pixel."""
    gray16 = Image.frombytes("I;16", (90, 60), RAMP.convert("I").point(lambda v: v * 257).tobytes()[::2])
    modes = {mode: COLOR.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")} | {"I;16": gray16}
    found = {f"png {mode}": stored(image, "PNG") for mode, image in modes.items()}
    found |= {f"png {mode} optimized": stored(image, "PNG", optimize=True) for mode, image in modes.items()}
    found |= {f"png P of {bits} bits": stored(COLOR.quantize(2**bits), "PNG", bits=bits) for bits in (1, 2, 4, 8)}
    found |= {f"png level {level}": stored(COLOR, "PNG", compress_level=level) for level in (0, 1, 9)}
    for mode in ("L", "RGB", "P", "1"):
        found[f"png {mode} with a transparent color"] = stored(
            modes[mode], "PNG", transparency=(1, 2, 3) if mode == "RGB" else 1
        )
    found |= {f"jpeg {mode}": stored(COLOR.convert(mode), "JPEG") for mode in ("L", "RGB", "CMYK", "YCbCr", "1")}
    found |= {f"jpeg quality {q}": stored(COLOR, "JPEG", quality=q) for q in (1, 50, 95, 100)}
    found |= {f"jpeg sampling {s}": stored(COLOR, "JPEG", subsampling=s) for s in (0, 1, 2)}
    found |= {"jpeg progressive": stored(COLOR, "JPEG", progressive=True),
              "jpeg progressive gray": stored(RAMP, "JPEG", progressive=True),
              "jpeg optimized": stored(COLOR, "JPEG", optimize=True),
              "jpeg with restarts": stored(COLOR, "JPEG", restart_marker_blocks=2),
              "jpeg cmyk progressive": stored(COLOR.convert("CMYK"), "JPEG", progressive=True)}  # fmt: skip
    found |= {f"webp {mode}": stored(COLOR.convert(mode), "WEBP") for mode in ("L", "LA", "RGB", "RGBA", "P")}
    found |= {
        f"webp {mode} lossless": stored(COLOR.convert(mode), "WEBP", lossless=True) for mode in ("RGB", "RGBA", "L")
    }
    found |= {f"webp quality {q}": stored(COLOR, "WEBP", quality=q) for q in (0, 50, 100)}
    found |= {f"gif {mode}": stored(COLOR.convert(mode), "GIF") for mode in ("1", "L", "P", "RGB", "RGBA")}
    found |= {f"avif {mode}": stored(COLOR.convert(mode), "AVIF", speed=10) for mode in ("L", "RGB", "RGBA")}
    found |= {f"avif quality {q}": stored(COLOR, "AVIF", quality=q, speed=10) for q in (10, 100)}
    found |= {f"animated {kind}": stored(COLOR, kind, **FRAMES) for kind in ("PNG", "WEBP", "GIF", "AVIF")}
    for kind in ("PNG", "JPEG", "WEBP", "AVIF"):
        found |= {f"{kind} turned {n}": stored(COLOR, kind, exif=exif(orientation=n)) for n in (1, 3, 6, 8)}
        found[f"{kind} with a profile"] = stored(COLOR, kind, icc_profile=b"not really a profile" * 20)
    found |= {f"{kind} of one pixel": stored(COLOR.resize((1, 1)), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")}
    found |= {f"{kind} of one row": stored(COLOR.resize((999, 1)), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")}
    found |= {
        f"bytes after {kind}": stored(COLOR, kind) + b"\0\n after" for kind in ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
    }
    return found | oddities()


def oddities() -> dict[str, bytes]:
    long = zlib.compress(bytes(2_000_000), 9)
    png = stored(COLOR, "PNG")
    return {
        "png with text": text_png(),
        "png with packed text": text_png(zip=True),
        "png with 2 MB of packed text": text_png(zip=True, count=350_000),
        "png with 2 MB of text": text_png(count=350_000),
        "png with packed zeros": png_with(chunk(b"zTXt", b"note\0\0" + long)),
        "png with damaged packed text": png_with(chunk(b"zTXt", b"note\0\0no zlib")),
        "png with wrong checksum of text": png_with(chunk(b"tEXt", b"note\0words", wrong=True)),
        "png with wrong checksum of time": png_with(chunk(b"tIME", bytes(7), wrong=True)),
        "png with an unknown chunk": png_with(chunk(b"prVt", b"anything")),
        "png with a damaged profile": png_with(chunk(b"iCCP", b"name\0\0no zlib")),
        "png with empty exif": png_with(chunk(b"eXIf", b"")),
        "png with damaged exif": png_with(chunk(b"eXIf", b"II*\0\xff")),
        "png with gamma of 0": png_with(chunk(b"gAMA", bytes(4))),
        "png with short pHYs": png_with(chunk(b"pHYs", bytes(3))),
        "png with many chunks": png_with(*[chunk(b"prVt", b"")] * 5000),
        "png with empty IDAT": png.replace(
            png[png.index(b"IDAT") - 4 :], chunk(b"IDAT", b"") + png[png.index(b"IDAT") - 4 :]
        ),
        "png without its end": png[:-12],
        "png with half an end": png[:-5],
        "png interlaced by claim of text": text_png(count=1),
        "jpeg with junk after the first marker": jpeg_with(b"", 2),
        "jpeg with junk": jpeg_with(bytes(5), 20),
        "jpeg with long junk": jpeg_with(bytes(5000), 20),
        "jpeg with fill bytes": jpeg_with(b"\xff" * 9, 20),
        "jpeg with a comment": jpeg_with(segment(0xFE, b"words"), 20),
        "jpeg with an empty comment": jpeg_with(segment(0xFE, b""), 20),
        "jpeg with damaged exif": jpeg_with(segment(0xE1, b"Exif\0\0II*\0\xff"), 20),
        "jpeg with empty exif": jpeg_with(segment(0xE1, b"Exif\0\0"), 20),
        "jpeg with two exif": jpeg_with(segment(0xE1, exif()) * 2, 20),
        "jpeg with xmp": jpeg_with(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), 20),
        "jpeg with a profile in two": jpeg_with(
            segment(0xE2, b"ICC_PROFILE\0\1\2ab") + segment(0xE2, b"ICC_PROFILE\0\2\2cd"), 20
        ),
        "jpeg with photoshop": jpeg_with(segment(0xED, b"Photoshop 3.0\0" + bytes(9)), 20),
        "jpeg with app11 that is not a manifest": jpeg_with(segment(0xEB, b"JP" + bytes(40)), 20),
        "jpeg without jfif": stored(COLOR, "JPEG")[:2] + stored(COLOR, "JPEG")[20:],
        "jpeg with 60 kB of comment": jpeg_with(segment(0xFE, bytes(60_000)), 20),
        "webp with an unknown chunk": webp_with(riff(b"prvt", b"odd")),
        "webp with xmp": stored(COLOR, "WEBP", xmp=b"<x/>"),
        "webp with all": stored(COLOR.convert("RGBA"), "WEBP", exif=exif(), xmp=b"<x/>", icc_profile=b"profile" * 9),
        "webp with an odd chunk": webp_with(riff(b"prvt", b"five!")),
        "gif with a comment": stored(COLOR, "GIF", comment=b"words"),
        "gif interlaced": stored(COLOR, "GIF", interlace=1),
        "gif without its end": stored(COLOR, "GIF")[:-1],
        "gif87a": b"GIF87a" + stored(COLOR, "GIF")[6:],
    }


def linked() -> dict[str, bytes]:
    """What is whole and not decoded."""
    kinds = {"TIFF": "RGB", "BMP": "RGB", "ICO": "RGBA", "JPEG2000": "RGB", "PPM": "RGB", "DDS": "RGB", "PDF": "RGB"}
    found = {f"{kind} kept": stored(COLOR.convert(mode), kind) for kind, mode in kinds.items()}
    found |= {
        f"TIFF {mode}": stored(COLOR.convert(mode), "TIFF") for mode in ("1", "L", "CMYK", "LAB", "F") if mode != "LAB"
    }
    twelve = bytearray(stored(COLOR, "JPEG"))
    twelve[twelve.index(b"\xff\xc0") + 4] = 12
    return found | {"jpeg of 12 bits": bytes(twelve), "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}


def broken() -> dict[str, bytes]:
    """What is cut short in its pixels, or not a file of its own."""
    halves = {kind: stored(COLOR, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP")}
    found = {f"half of {kind}": data[: len(data) // 2] for kind, data in halves.items()}
    return found | {"html": b"<!doctype html><p>Gone", "json": b"{}", "text": b"Gone", "spaces": b"   "}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll_and_save.rate_limiter, "backoff", lambda attempt, jitter: 0.01)  # noqa: ARG005


def test_nothing_is_wrongly_refused_lost_or_spoiled(quick: None, tmp_path: Path) -> None:
    good, kept, bad = shown(), linked(), broken()
    files = {**good, **kept, **bad}
    assert len(files) >= 120
    rows = pillow_corpus.buy(files, tmp_path / "images")
    print(pillow_corpus.table(rows))
    outcome = {row.name: row for row in rows}
    assert Counter(row.outcome for row in rows) == {"shown": len(good), "kept": len(kept), "refused": len(bad)}
    for name in good:
        assert outcome[name].outcome == "shown", outcome[name]
        assert outcome[name].identical, outcome[name]
    for name in kept:
        assert outcome[name].outcome == "kept", outcome[name]
        assert outcome[name].identical, outcome[name]
    for name in (*good, *kept):
        assert outcome[name].metadata, outcome[name]
    for name in bad:
        assert outcome[name].outcome == "refused", outcome[name]
        assert outcome[name].reason
        assert outcome[name].identical == bool(bad[name]), "the last bytes are kept"
