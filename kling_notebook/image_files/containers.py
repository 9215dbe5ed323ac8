"""PNG, JPEG and WebP as containers: what they hold, how large they are, and the EXIF block taken out or put in.

Bytes in, bytes out; no decoder and no disk. The coded image is never touched. The bytes may come from a stranger:
whatever they are, the answer is a value or BrokenContainerError, in time that grows with their length.

Sources: the PNG specification (third edition, eXIf), ITU T.81 with the Exif 2.32 APP1 layout, the WebP container
specification (RIFF, VP8X).
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest

from . import exif
from .file_kinds import JPEG, PNG, WEBP, kind_of

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF_HEADER = b"Exif\0\0"
# A 64 MB image has some thousand parts. More is meant to keep us busy.
_MOST_PARTS = 100_000


class BrokenContainerError(ValueError):
    """The bytes are not a whole PNG, JPEG or WebP file. The text says what is wrong, for a person."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the headers say.

    Attributes:
        width, height: in pixels, the largest that any header names; 0 for a file that is not decoded.
        alpha: what a WebP's first header promises; the other two have no such header.
        orientation: EXIF's, 1 to 8: how the stored pixels have to be turned to be upright.
    """

    media_type: str
    width: int
    height: int
    animated: bool
    alpha: bool = False
    orientation: int = 1

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height as viewers show the image."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


@dataclass(frozen=True, slots=True)
class _Part:
    """A chunk or segment: ``data[start:end]`` with its framing, ``data[body:body_end]`` without."""

    kind: bytes
    start: int
    body: int
    body_end: int
    end: int


def facts(data: bytes) -> Facts:
    """Type and size from the headers, after walking the whole container.

    Raises:
        BrokenContainerError: cut short, damaged, or another kind of file.
    """
    kind, parts = _walk(data)
    found = {PNG: _png_facts, JPEG: _jpeg_facts, WEBP: _webp_facts}[kind](data, parts)
    return replace(found, orientation=exif.read_orientation(_exif_of(data, kind, parts)))


def pixel_data(data: bytes) -> bytes:
    """What decides the pixels, without metadata: the same image if it is equal.

    For PNG and JPEG it is a file of its own, which a decoder reads without meeting anything else that a stranger
    may have put in. For WebP it is the image chunks end to end.
    """
    return b"".join(_essential(data))


def same_pixel_data(data: bytes, other: bytes) -> bool:
    """Whether both are the same image. Compares part by part: whole copies of both would double the memory."""
    parts = zip_longest(_essential(data), _essential(other), fillvalue=b"")
    return all(bytes(one) == bytes(two) for one, two in parts)


def _essential(data: bytes) -> Iterator[bytes | memoryview]:
    kind, parts = _walk(data)
    view = memoryview(data)
    kept = (part for part in parts if _is_essential(kind, part.kind))
    heads = {PNG: _PNG_SIGNATURE, JPEG: b"\xff\xd8", WEBP: b""}
    return chain([heads[kind]], (view[part.start : part.end] for part in kept))


def _is_essential(kind: str, part: bytes) -> bool:
    """In JPEG all but comments and application segments, of which JFIF and Adobe's say how colors are coded."""
    if kind == JPEG:
        return part != b"\xfe" and (part[0] & 0xF0 != 0xE0 or part[0] in (0xE0, 0xEE))
    return part in (_PNG_IMAGE if kind == PNG else _WEBP_IMAGE)


def read_exif(data: bytes) -> bytes | None:
    """The EXIF block as a bare TIFF structure, None if there is none."""
    return _exif_of(data, *_walk(data))


def _exif_of(data: bytes, kind: str, parts: list[_Part]) -> bytes | None:
    blocks = (part for part in parts if _is(data, part, _EXIF[kind]))
    return next((data[part.body : part.body_end].removeprefix(_EXIF_HEADER) for part in blocks), None)


def may_be_edited(data: bytes) -> bool:
    """False for a file with a manifest (C2PA), which any change would make invalid, and for other kinds of files."""
    kind = kind_of(data).media_type
    return kind in (PNG, JPEG, WEBP) and not any(_is(data, part, _MANIFEST[kind]) for part in _walk(data)[1])


def write_exif(data: bytes, exif: bytes) -> bytes:
    """The same file with ``exif`` (a bare TIFF structure) in the place of any EXIF block it had.

    Raises:
        BrokenContainerError: the file cannot be edited, or the block is too large for it.
    """
    kind, parts = _walk(data)
    return {PNG: _png_with, JPEG: _jpeg_with, WEBP: _webp_with}[kind](data, parts, exif)


def _walk(data: bytes) -> tuple[str, list[_Part]]:
    """The media type, and every part up to the end of the image. Bytes after that end are left alone."""
    kind = kind_of(data).media_type
    if kind not in _EXIF:
        raise BrokenContainerError("it is not a PNG, JPEG or WebP file")
    walked = {PNG: _png_parts, JPEG: _jpeg_parts, WEBP: _webp_parts}[kind](data)
    parts = list(islice(walked, _MOST_PARTS + 1))
    if len(parts) > _MOST_PARTS:
        raise BrokenContainerError("it is chopped into more parts than any image has")
    return kind, parts


# What a part is called, and what its first bytes hold: so many of them are looked at.
_Mark = tuple[bytes, bytes, int]
_EXIF: dict[str, _Mark] = {PNG: (b"eXIf", b"", 0), JPEG: (b"\xe1", _EXIF_HEADER, 6), WEBP: (b"EXIF", b"", 0)}
_MANIFEST: dict[str, _Mark] = {PNG: (b"caBX", b"", 0), JPEG: (b"\xeb", b"jumb", 32), WEBP: (b"C2PA", b"", 0)}


def _is(data: bytes, part: _Part, mark: _Mark) -> bool:
    kind, within, length = mark
    return part.kind == kind and within in data[part.body : part.body + length]


# PNG ----------------------------------------------------------------------------------------------------------------


_PNG_IMAGE = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def _png_parts(data: bytes) -> Iterator[_Part]:
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        yield _Part(kind, position, position + 8, end - 4, end)
        if kind == b"IEND":
            return
        position = end
    raise BrokenContainerError("the PNG file is cut short")


def _png_facts(data: bytes, parts: list[_Part]) -> Facts:
    if parts[0].kind != b"IHDR" or parts[0].body_end - parts[0].body != 13:
        raise BrokenContainerError("the PNG file does not begin with its header")
    width, height = struct.unpack_from(">II", data, parts[0].body)
    view = memoryview(data)
    for part in parts:
        if part.kind[0] & 0x20 == 0 and zlib.crc32(view[part.start + 4 : part.body_end]) != int.from_bytes(
            view[part.body_end : part.end], "big"
        ):
            raise BrokenContainerError("a checksum in the PNG file does not match")
    if not any(part.kind == b"IDAT" for part in parts):
        raise BrokenContainerError("the PNG file holds no image")
    return Facts(PNG, width, height, any(part.kind == b"acTL" for part in parts))


def _png_with(data: bytes, parts: list[_Part], exif: bytes) -> bytes:
    before = next((part.start for part in parts if part.kind == b"IDAT"), None)
    if before is None:
        raise BrokenContainerError("the PNG file holds no image")
    body = b"eXIf" + exif
    chunk = struct.pack(">I", len(exif)) + body + struct.pack(">I", zlib.crc32(body))
    return _edited(data, [p for p in parts if p.kind == b"eXIf"], before, chunk)


# JPEG ---------------------------------------------------------------------------------------------------------------

_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# The next segment: what stands before it (fill bytes, junk) is skipped, as every decoder does.
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg_parts(data: bytes) -> Iterator[_Part]:
    position = 2
    while (found := _MARKER.search(data, position)) is not None:
        position = found.start()
        kind = data[position + 1 : position + 2]
        if kind == b"\xd9":
            yield _Part(kind, position, position + 2, position + 2, position + 2)
            return
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        end = body_end = position + 2 + length
        if length < 2 or end > len(data):
            break
        if kind == b"\xda":
            scan_end = _SCAN_END.search(data, end)
            if scan_end is None:
                break
            end = scan_end.start()
        yield _Part(kind, position, position + 4, body_end, end)
        position = end
    raise BrokenContainerError("the JPEG file is cut short")


def _jpeg_facts(data: bytes, parts: list[_Part]) -> Facts:
    frames = [part for part in parts if part.kind[0] in _FRAMES and part.body_end - part.body >= 6]
    if not frames or not any(part.kind == b"\xda" for part in parts):
        raise BrokenContainerError("the JPEG file holds no image")
    sizes = [struct.unpack_from(">HH", data, part.body + 1) for part in frames]
    return Facts(JPEG, max(w for _, w in sizes), max(h for h, _ in sizes), False)


def _jpeg_with(data: bytes, parts: list[_Part], exif: bytes) -> bytes:
    body = _EXIF_HEADER + exif
    if len(body) + 2 > 0xFFFF:
        raise BrokenContainerError("the EXIF block is too large for a JPEG file")
    before = next(part.start for part in parts if part.kind != b"\xe0")
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return _edited(data, [p for p in parts if _is(data, p, _EXIF[JPEG])], before, segment)


# WebP ---------------------------------------------------------------------------------------------------------------

_WEBP_IMAGE = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_ALPHA, _HAS_EXIF = 0x10, 0x08


def _webp_parts(data: bytes) -> Iterator[_Part]:
    limit = 8 + int.from_bytes(data[4:8], "little")
    if limit > len(data):
        raise BrokenContainerError("the WebP file is cut short")
    position = 12
    while position + 8 <= limit:
        kind, length = struct.unpack_from("<4sI", data, position)
        body_end = position + 8 + length
        if body_end > limit:
            raise BrokenContainerError("the WebP file is damaged")
        end = min(body_end + (length & 1), limit)
        yield _Part(kind, position, position + 8, body_end, end)
        position = end


def _webp_facts(data: bytes, parts: list[_Part]) -> Facts:
    sizes = [size for part in parts if (size := _webp_size(data, part)) is not None]
    if not sizes or not any(part.kind in (b"VP8 ", b"VP8L", b"ANMF") for part in parts):
        raise BrokenContainerError("the WebP file holds no image")
    animated = any(part.kind in (b"ANIM", b"ANMF") for part in parts)
    if not animated and len(set(sizes)) > 1:
        raise BrokenContainerError("the WebP file's headers contradict each other")
    first = parts[0]
    flags = data[first.body] if first.kind == b"VP8X" else _vp8x(data, first)[0]
    return Facts(WEBP, max(w for w, _ in sizes), max(h for _, h in sizes), animated, bool(flags & _ALPHA))


def _webp_size(data: bytes, part: _Part) -> tuple[int, int] | None:
    """Width and height as this chunk says them, None where it says none."""
    body = data[part.body : min(part.body_end, part.body + 16)]
    if part.kind == b"VP8X" and len(body) >= 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if part.kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if part.kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        if width < 1 or height < 1:  # the only header that can say so: the other two store one less
            raise BrokenContainerError("the WebP file has no pixels")
        return width, height
    return None


def _webp_with(data: bytes, parts: list[_Part], exif: bytes) -> bytes:
    """VP8X first (made where there is none), then all chunks in their order, EXIF before XMP as the format asks."""
    if not parts:
        raise BrokenContainerError("the WebP file holds no image")
    first, limit = parts[0], parts[-1].end
    extended = first.kind == b"VP8X"
    header = data[first.body : first.body_end] if extended else _vp8x(data, first)
    chunks = [(p.kind, data[p.body : p.body_end]) for p in parts[extended:] if p.kind != b"EXIF"]
    chunks.insert(0, (b"VP8X", bytes([header[0] | _HAS_EXIF]) + header[1:]))
    place = next((i for i, (kind, _) in enumerate(chunks) if kind == b"XMP "), len(chunks))
    chunks.insert(place, (b"EXIF", exif))
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(b)) + b + b"\0" * (len(b) & 1) for k, b in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body + data[limit:]


def _vp8x(data: bytes, image: _Part) -> bytes:
    size = _webp_size(data, image)
    if size is None:
        raise BrokenContainerError("the WebP file does not begin with its image")
    flags = _HAS_EXIF | (_ALPHA if image.kind == b"VP8L" and data[image.body + 4] & 0x10 else 0)
    return bytes([flags, 0, 0, 0]) + (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")


def _edited(data: bytes, without: list[_Part], before: int, new: bytes) -> bytes:
    """``data`` without some parts, with ``new`` at offset ``before``."""
    cuts = sorted([(p.start, p.end, b"") for p in without] + [(before, before, new)])
    view, position = memoryview(data), 0
    pieces: list[bytes | memoryview] = []
    for start, end, put in cuts:
        pieces += [view[position:start], put]
        position = end
    return b"".join([*pieces, view[position:]])


# Other files --------------------------------------------------------------------------------------------------------


def is_cut_short(data: bytes) -> bool:
    """Whether the end of another kind of file is missing, as far as its first header tells."""
    kind = kind_of(data).media_type
    if data[4:8] in (b"ftyp", b"JXL ", b"jP  "):
        return _boxes_cut_short(data)
    if kind == "image/gif":
        return not data.rstrip(b"\0").endswith(b";")
    if kind == "image/svg+xml":
        return b"</svg" not in data and not data.rstrip().endswith(b"/>")
    if kind == "image/tiff" and data[2:4] in (b"*\0", b"\0*"):
        return int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") >= len(data)
    return kind == "image/bmp" and int.from_bytes(data[2:6], "little") > len(data)


def _boxes_cut_short(data: bytes) -> bool:
    """Of files made of boxes (ISO 14496-12): HEIC, AVIF, JPEG XL, MP4. What follows the last box is left alone."""
    position = 0
    while position + 8 <= len(data) and data[position + 4 : position + 8].strip().isalnum():
        size = int.from_bytes(data[position : position + 4], "big")
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if size == 0:  # to the end of the file
            return False
        position += max(size, 8)
    return position > len(data)
