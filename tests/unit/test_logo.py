"""The founder's logo, and what is wrong with it."""

import struct
import zlib
from pathlib import Path

import pytest

from farebox.domain.errors import FounderError
from farebox.web.logo import BYTES_MAX, Logo, read_logo


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\xff" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def read(folder: Path, content: bytes, name: str = "logo.svg") -> Logo:
    (folder / name).write_bytes(content)
    found = read_logo(folder, name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "tag",
    [
        '<svg viewBox="0 0 120 40">',
        "<svg width='5' viewBox='-10,-10, 120.0, 40' fill='none'>",
        '<svg xmlns="http://www.w3.org/2000/svg" width="60px" height="20">',
    ],
)
def test_a_drawings_shape_is_read(tmp_path: Path, tag: str) -> None:
    logo = read(tmp_path, f'<?xml version="1.0"?>\n<!-- by hand -->\n{tag}<rect width="1" height="1"/></svg>'.encode())
    assert (logo.sides, logo.width_pixels, logo.is_wordmark) == (3, 96, True)
    assert (logo.content_type, logo.asset) == ("image/svg+xml", "logo.svg")


def test_a_pictures_shape_is_read(tmp_path: Path) -> None:
    logo = read(tmp_path, png(64, 64), "Our mark.PNG")
    assert (logo.sides, logo.width_pixels, logo.is_wordmark) == (1, 32, False)
    assert (logo.content_type, logo.asset) == ("image/png", "logo.png")


def test_without_a_logo_there_is_none() -> None:
    assert read_logo(None, None) is None


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("logo.svg", None, "cannot be read .No such file"),
        ("logo.gif", b"GIF89a", "has to be an .svg or a .png file"),
        ("logo.svg", b"hello", "width and height cannot be read"),
        ("logo.svg", b"<svg></svg>", "width and height cannot be read"),
        ("logo.svg", b'<svg width="100%" height="100%"></svg>', "width and height cannot be read"),
        ("logo.svg", b'<svg viewBox="0 0 1 0"></svg>', "width and height cannot be read"),
        ("logo.svg", b'<svg viewBox="0 0 1.1.1 3"></svg>', "width and height cannot be read"),
        ("logo.svg", b'<svg viewBox="0 0 900 10"></svg>', "more than 8 times the other"),
        ("logo.png", b"\x89PNG", "width and height cannot be read"),
        ("logo.svg", b'<svg viewBox="0 0 1 1">' + b" " * BYTES_MAX, "save it smaller"),
    ],
)
def test_a_logo_that_cannot_be_shown_is_told(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FounderError, match=rf"Brand\(logo='{name}'\): .*{told}"):
        read_logo(tmp_path, name)
