"""EXIF damage never costs an image; what cannot be read is refused in words that help."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from hoi_d2.data.decoding import orientation
from hoi_d2.data.images import ImageFileError, image_size, read_image
from hoi_d2.data.transforms import image_tensor

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
TIFF = (
    b"II*\0\x08\0\0\0"
    + struct.pack("<H", 3)
    + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
    + struct.pack("<HHII", 0x11A, 5, 1, 60)
    + struct.pack("<HHII", 0x8769, 4, 1, 70)
    + struct.pack("<I", 0)
    + bytes(40)
)


def png(exif: bytes) -> bytes:
    """A PNG of PIXELS with an eXIf chunk of any content."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    content, chunk = file.getvalue(), b"eXIf" + exif
    at = content.index(b"IDAT") - 4
    length, check = struct.pack(">I", len(exif)), struct.pack(">I", zlib.crc32(chunk))
    return content[:at] + length + chunk + check + content[at:]


def encoded(form: str, exif: bytes) -> bytes:
    if form == "PNG":
        return png(exif)
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, form, exif=b"Exif\0\0" + exif, quality=95)
    return file.getvalue()


@pytest.mark.parametrize(
    "exif", [b"", b"\0\x08\0\x02", b"II*\0", b"not a TIFF file at all", TIFF[:30]]
)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_damaged_exif_never_costs_the_image(form, exif, tmp_path):
    file = tmp_path / "a"
    file.write_bytes(encoded(form, exif))
    image = read_image(file)
    assert image_size(file) == image.shape[:2]
    if form == "PNG" and image.shape == PIXELS.shape:
        np.testing.assert_array_equal(image, PIXELS)


def test_random_damage(tmp_path):
    """Size and pixels agree, whatever the EXIF block holds."""
    rng, file, turned = random.Random(1), tmp_path / "a", 0
    for _ in range(150):
        exif = bytearray(TIFF)
        for _ in range(rng.randint(0, 6)):
            exif[rng.randrange(len(exif))] = rng.randrange(256)
        damaged = bytes(exif[: rng.randint(0, len(exif))] if rng.random() < 0.5 else exif)
        for form in ("PNG", "JPEG"):
            file.write_bytes(encoded(form, damaged))
            shape = read_image(file).shape
            assert image_size(file) == shape[:2]
            turned += shape[:2] == (32, 24)
    assert 50 < turned < 250, "some of them still say how the image is turned"


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_unknown_orientation_turns_nothing(value, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = value
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        assert orientation(image) == 1
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PIXELS)


REFUSED = {
    "a.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image: save it as JPEG"),
    "a.jpg": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC image: save it as JPEG"),
    "._a.jpg": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "what macOS leaves beside one"),
    "empty.jpg": (b"", "the file is empty"),
    "text.jpg": (b"a text", "not an image of a known format"),
    "cut.png": (png(b"")[:200], "cut off or damaged"),
    "huge.ppm": (b"P6\n100000 100000\n255\n" + bytes(30), "too many pixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_reason_is_named(name, tmp_path):
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageFileError) as error:
        read_image(tmp_path / name)
    assert reason in str(error.value) and name in str(error.value)


def test_pictures_of_public_bug_reports(real_data):
    """Which can be read, with their sizes after the EXIF turn; the others name the reason."""
    folder = real_data.parent / "cases" / "pictures"
    if not folder.is_dir():
        pytest.skip("there are no cases next to HOI_D2_TEST_DATA")
    sizes = {
        **{"exif_not_tiff.png": (120, 160), "exif_orient0.jpg": (120, 160)},
        **{"mpo_named.jpg": (160, 120), "folder/b.jfif": (120, 160), "folder/c.png": (120, 160)},
        **{"folder/photo.avif": (120, 160), "folder/photo.mpo": (160, 120)},
        **{"folder/thin.png": (2, 3000), "folder/px1.png": (1, 1)},
    }
    for name, size in sizes.items():
        assert read_image(folder / name).shape[:2] == image_size(folder / name) == size, name
    for name, reason in {
        "photo.heic": "HEIC",
        "trunc_small_for_onnx_runner.jpg": "cut off",
    }.items():
        with pytest.raises(ImageFileError, match=reason):
            read_image(folder / name)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1)])
def test_mirrored_images_of_a_pixel_become_tensors(size):
    image = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)[:, ::-1]
    tensor = image_tensor(image)
    assert tensor.shape == (3, *size)
    np.testing.assert_array_equal(tensor.numpy(), image.transpose(2, 0, 1))
    assert torch.equal(tensor, tensor.contiguous())
