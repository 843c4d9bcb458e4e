"""Configs and images."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml
from PIL import Image, features

from hoi_d2.config.load import load_config
from hoi_d2.data.images import ImageFileError, image_size, read_image
from hoi_d2.demo.web.session import Limits, UploadError, read_upload
from hoi_d2.model_zoo import configs_root
from tests.fuzz.form import Form

# --- configs -------------------------------------------------------------------------------------


def configs() -> list[Any]:
    """A small config, and those of the package, as nested values and as text."""
    own = {"_BASE_": "base.yaml", "MODEL": {"DEVICE": "cpu", "RMLR": {"FEATURE_DIM": 16}}}
    own |= {"SOLVER": {"BASE_LR": 0.01, "STEPS": [3, 4]}, "DATASETS": {"TRAIN": ["a"]}}
    own |= {"INPUT": {"MIN_SIZE_TRAIN": [480, 512]}, "OUTPUT_DIR": "output/x", "VERSION": 2}
    return [own, (configs_root() / "Base-HOI.yaml").read_bytes()]


def as_yaml(value: Any, rng: Random) -> bytes:
    return yaml.safe_dump(value, default_flow_style=rng.random() < 0.3, allow_unicode=True).encode()


YAML_WORDS = (b"!!python/object/apply:os.getcwd []", b"&a [*a]", b"<<: *a", b"_BASE_: ", b"? ")
YAML_WORDS += (b"*b", b"!!binary x", b"!!set {}", b"---\n", b"...\n", b"\t", b"2001-01-01", b"|")
YAML_WORDS += (b"_BASE_: x.yaml\n", b"_BASE_: http://a/b.yaml\n", b"_BASE_: [x.yaml]\n", b"%YAML 9")


def _base_beside(folder: Path) -> None:
    (folder / "base.yaml").write_text("SOLVER: {MAX_ITER: 5}\n")


def read_config(path: Path) -> None:
    """A config as every command loads it."""
    load_config(str(path)).dump()


# --- images --------------------------------------------------------------------------------------

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def images(form: str, modes: tuple[str, ...], **options: Any) -> list[bytes]:
    """One file of each mode, the first with an EXIF block that turns it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for mode in modes:
        file, image = BytesIO(), Image.fromarray(PIXELS)
        image = (
            Image.fromarray(PIXELS[:, :, 0].astype(np.uint16))
            if mode == "I;16"
            else image.convert(mode)
        )
        more = (
            {"exif": exif} if not found and form in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF") else {}
        )
        image.save(file, form, **options, **more)
        found.append(file.getvalue())
    return found


def png_sealed(content: bytes) -> bytes:
    """A PNG whose chunks have the right checksums again, as far as their lengths lead."""
    data, at = bytearray(content), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


def read_any_image(path: Path) -> None:
    """An image as the predictor, the loaders and the web page read it."""
    try:
        upload, _ = read_upload(path, limits=Limits())
    except UploadError as error:
        assert str(path.parent) not in str(error)
        upload = None
    try:
        size = image_size(path)
    except ImageFileError:
        size = None
    image = read_image(path)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert image.shape[:2] == size
    assert upload is None or (upload == image).all()


def image_form(form: str, *modes: str, **options: Any) -> Form:
    """A form of images."""
    return Form(
        f"image, {form}",
        f"x.{form.lower()}",
        lambda: images(form, modes or ("RGB",), **options),
        read_any_image,
        seal=png_sealed if form == "PNG" else None,
        megabytes=2000,
    )


IMAGES = [
    image_form("PNG", "RGB", "P", "RGBA", "1", "I;16"),
    image_form("JPEG", "RGB", "L", "CMYK"),
    image_form("GIF", "P"),
    image_form("WEBP", "RGB", "RGBA"),
    image_form("BMP", "RGB", "P", "1"),
    image_form("TIFF", "RGB", "L", "CMYK", "F"),
    image_form("PPM", "RGB", "L"),
]
if features.check("avif"):
    IMAGES.append(image_form("AVIF"))
FORMS = [
    Form(
        "config, YAML",
        "x.yaml",
        configs,
        read_config,
        as_yaml,
        words=YAML_WORDS,
        beside=_base_beside,
        suite=50,
    ),
    *IMAGES,
]
