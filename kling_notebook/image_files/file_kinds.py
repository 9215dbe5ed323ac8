"""What kind of file some bytes are, by the bytes alone. Pure."""

import re
from dataclasses import dataclass

# How many bytes tell.
HEAD = 1024


@dataclass(frozen=True, slots=True)
class FileKind:
    """``name`` ends the sentence "it is ...". ``kept``: False for pages of text, which are never what was paid for."""

    media_type: str
    ending: str
    name: str
    kept: bool = True


PNG, JPEG, WEBP = "image/png", "image/jpeg", "image/webp"

_SIGNATURES: tuple[tuple[bytes, str, str, str], ...] = (
    (rb"\x89PNG\r\n\x1a\n", PNG, ".png", "a PNG image"),
    (rb"\xff\xd8\xff\xf7", "image/jls", ".jls", "a JPEG-LS image"),
    (rb"\xff\xd8\xff", JPEG, ".jpg", "a JPEG image"),
    (rb"RIFF....WEBP", WEBP, ".webp", "a WebP image"),
    (rb"GIF8[79]a", "image/gif", ".gif", "a GIF"),
    (rb"....ftyp(avi[fs]|(mif1|msf1|miaf)....(....)*?avi[fs])", "image/avif", ".avif", "an AVIF image"),
    (rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", "image/heic", ".heic", "a HEIC image"),
    (rb"....ftypcrx ", "image/x-canon-cr3", ".cr3", "a Canon raw image"),
    (rb"....ftypqt  ", "video/quicktime", ".mov", "a QuickTime video"),
    (rb"....ftyp", "video/mp4", ".mp4", "an MP4 video"),
    (rb"\x1aE\xdf\xa3", "video/webm", ".webm", "a WebM video"),
    (rb"II[*+]\0|MM\0[*+]", "image/tiff", ".tif", "a TIFF image"),
    (rb"BM....\0\0\0\0|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "image/bmp", ".bmp", "a BMP image"),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "image/jxl", ".jxl", "a JPEG XL image"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2", ".jp2", "a JPEG 2000 image"),
    (rb"\xff\x4f\xff\x51", "image/j2c", ".j2k", "a JPEG 2000 image"),
    (rb"\0\0\x01\0", "image/x-icon", ".ico", "an icon file"),
    (rb"8BPS", "image/vnd.adobe.photoshop", ".psd", "a Photoshop file"),
    (rb"v/1\x01", "image/x-exr", ".exr", "an OpenEXR image"),
    (rb"#\?R(ADIANCE|GBE)", "image/vnd.radiance", ".hdr", "a Radiance image"),
    (rb"P[1-7]\s", "image/x-portable-anymap", ".pnm", "a PNM image"),
    (rb"qoif", "image/qoi", ".qoi", "a QOI image"),
    (rb"DDS ", "image/vnd.ms-dds", ".dds", "a DDS image"),
    (rb"%PDF", "application/pdf", ".pdf", "a PDF document"),
    (rb"PK\x03\x04", "application/zip", ".zip", "a ZIP archive"),
    (rb"\x1f\x8b", "application/gzip", ".gz", "gzip data"),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*|<!--[^>]*-->\s*|<!DOCTYPE (svg:)?svg[^>\[]*(\[[^\]]*\]\s*)?>\s*)*"
     rb"<(svg:)?svg[\s/>]",
     "image/svg+xml", ".svg", "an SVG drawing"),
    (rb"[\xef\xbb\xbf \t\r\n]*\Z", "text/plain", ".txt", "empty"),
    (rb"\xff\xfe|\xfe\xff", "text/plain", ".txt", "text in UTF-16"),
    (rb"[\xef\xbb\xbf \t\r\n]*<", "text/html", ".txt", "HTML"),
    (rb"[\xef\xbb\xbf \t\r\n]*[{[]", "application/json", ".txt", "JSON"),
    (rb"[^\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]*\Z", "text/plain", ".txt", "text"),
)  # fmt: skip
_KINDS = tuple(
    (re.compile(pattern, re.DOTALL), FileKind(media_type, ending, name, kept=ending != ".txt"))
    for pattern, media_type, ending, name in _SIGNATURES
)

UNKNOWN = FileKind("application/octet-stream", ".bin", "a file of an unknown kind")


def kind_of(data: bytes) -> FileKind:
    """The kind of a file, from its first bytes."""
    return next((kind for pattern, kind in _KINDS if pattern.match(data, 0, HEAD)), UNKNOWN)
