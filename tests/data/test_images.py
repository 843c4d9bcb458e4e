from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.images import ImageFileError, image_size, read_dataset_image, read_image

# Left half dark, right half bright, 6 wide and 4 high.
GREY = np.repeat(np.array([[10, 10, 10, 200, 200, 200]], dtype=np.uint8), 4, axis=0)


def save(folder, array: np.ndarray, name: str, mode: str | None = None, **options):
    image = Image.fromarray(array)
    file = folder / name
    (image if mode is None else image.convert(mode)).save(file, **options)
    return file


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *((mode, "a.png") for mode in ("L", "RGB", "P", "RGBA", "LA")),
        *((mode, "a.tif") for mode in ("CMYK", "I", "F")),
        *((mode, "a.jpg") for mode in ("CMYK", "L")),
    ],
)
def test_every_kind_of_image_is_rgb(tmp_path, mode, name):
    file = save(tmp_path, GREY, name, mode)
    image = read_image(file)
    assert image.shape == (4, 6, 3)
    assert image.dtype == np.uint8
    tolerance = 12 if name.endswith("jpg") else 1
    assert np.abs(image.astype(int) - GREY[:, :, None]).max() <= tolerance
    assert image_size(file) == (4, 6)


def test_16_bit_grey_keeps_its_shades(tmp_path):
    file = save(tmp_path, GREY.astype(np.uint16) * 257, "a.png")
    assert np.array_equal(read_image(file)[:, :, 0], GREY)


def test_float_image_from_0_to_1(tmp_path):
    file = save(tmp_path, (GREY / 255).astype(np.float32), "a.tif")
    assert np.array_equal(read_image(file)[:, :, 0], GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    """The image is stored so that a viewer which obeys the tag shows GREY."""
    stored = {
        1: GREY,
        2: GREY[:, ::-1],
        3: GREY[::-1, ::-1],
        4: GREY[::-1],
        5: GREY.T,
        6: np.rot90(GREY, 1),
        7: GREY[::-1, ::-1].T,
        8: np.rot90(GREY, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = save(tmp_path, np.ascontiguousarray(stored), "a.png", exif=exif)
    assert np.array_equal(read_image(file)[:, :, 0], GREY)
    assert np.array_equal(read_image(file, apply_exif=False)[:, :, 0], stored)
    assert image_size(file) == GREY.shape
    assert image_size(file, apply_exif=False) == stored.shape


@pytest.mark.parametrize("content", [b"", b"no image", "truncated"])
def test_unreadable_image_is_named(tmp_path, content):
    file = tmp_path / "bad.png"
    if content == "truncated":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        content = save(tmp_path, noise, "good.png").read_bytes()[:2000]
    file.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"bad\.png"):
        read_image(file)


def test_missing_image_is_a_format_and_an_os_error(tmp_path):
    with pytest.raises(OSError, match=r"none\.png"):
        read_image(tmp_path / "none.png")
    with pytest.raises(DataFormatError, match=r"none\.png"):
        image_size(tmp_path / "none.png")


def test_size_that_differs_from_the_annotation_is_named(tmp_path):
    record = {"file_name": str(save(tmp_path, GREY, "a.png")), "height": 6, "width": 4}
    with pytest.raises(ImageFileError, match=r"6 x 4.*4 x 6"):
        read_dataset_image(record)
    assert read_dataset_image(record | {"height": 4, "width": 6}).shape == (4, 6, 3)


def test_size_without_the_exif_turn_gets_a_hint(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = str(save(tmp_path, GREY, "a.png", exif=exif))
    with pytest.raises(ImageFileError, match="ignore_exif"):
        read_dataset_image({"file_name": file, "height": 4, "width": 6})


def test_annotations_made_without_exif_are_read_so(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = str(save(tmp_path, GREY, "a.png", exif=exif))
    assert read_dataset_image({"file_name": file}).shape == (6, 4, 3)
    assert read_dataset_image({"file_name": file, "ignore_exif": True}).shape == (4, 6, 3)


def test_toy_image_is_rgb():
    from hoi_d2.data.toy.scene import read_toy_image

    image = read_image("toy://val/3")
    assert np.array_equal(image, read_toy_image("toy://val/3")[:, :, ::-1])
    assert image_size("toy://val/3") == image.shape[:2]
