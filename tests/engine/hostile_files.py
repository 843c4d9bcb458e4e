"""Files that people upload: what is refused, and odd ones that are pictures all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hoi_d2.data import toy

HOSTILE = {
    "text": "not a picture",
    "empty": "not a picture",
    "truncated": "cut off",
    "huge": "too many pixels",  # 20,000 x 20,000 in a file of 50 kB
    "large": "12000 x 8334",  # 12,000 x 8,334, which Pillow alone would open
    "svg": "not a picture",
    "fake gif": "not a picture",
}
"""Kind -> what the message says."""

ODD = {
    "cmyk": "converted from CMYK",
    "16-bit": "converted from I;16",
    "animated": "of an animation",
    "turned": "turned as its EXIF",
    "palette": "",
    "alpha": "",
}
"""Kind -> what the remark says."""


def write_picture(path: Path, kind: str) -> None:
    """Writes a file of that kind, whatever the suffix says."""
    picture = Image.fromarray(toy.render(toy.toy_scene("val", 1))[:, :, ::-1])
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = {
        "text": b"not a picture",
        "empty": b"",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "fake gif": b"GIF89a" + b"\0" * 20,
    }
    if kind in raw:
        path.write_bytes(raw[kind])
    elif kind in ("huge", "large"):
        Image.new("1", (20000, 20000) if kind == "huge" else (12000, 8334)).save(path, "PNG")
    elif kind == "truncated":
        picture.save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "cmyk":
        picture.convert("CMYK").save(path, "JPEG")
    elif kind == "16-bit":
        Image.fromarray(grey).save(path, "PNG")
    elif kind == "animated":
        picture.save(path, "GIF", save_all=True, append_images=[picture.rotate(90)])
    elif kind == "turned":
        picture.transpose(Image.Transpose.ROTATE_90).save(path, "JPEG", exif=exif, quality=95)
    elif kind == "palette":
        picture.quantize(64).save(path, "PNG")
    elif kind == "alpha":
        picture.convert("RGBA").save(path, "PNG")
