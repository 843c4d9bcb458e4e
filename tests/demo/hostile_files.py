"""Files that people upload: what is refused, and odd ones that are images all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hoi_d2.data.toy import scene as toy

HOSTILE = {
    "text": "a text",
    "empty": "an empty file",
    "svg": "an SVG",
    "fake gif": "the head of a GIF alone",
    "eps": "PostScript",
    "truncated": "a JPEG that is cut off",
    "huge": "20,000 x 20,000 pixels in 50 kB",
    "large": "12,000 x 8,334 pixels, which Pillow alone would open",
}
"""Kind of file that is refused -> in words."""

ODD = {
    "cmyk": "CMYK",
    "16-bit": "16-bit grey",
    "animated": "an animated GIF",
    "turned": "turned by EXIF",
    "palette": "palette",
    "alpha": "transparent",
    "views": "two views of a phone's camera in one MPO file",
    "orientation 0": "an orientation that EXIF does not have",
}
"""Kind of file that is shown -> in words."""

ANSWERS = {
    "text": "the file is not an image of a known format",
    "empty": "the file is not an image of a known format",
    "svg": "the file is not an image of a known format",
    "fake gif": "the file is not an image of a known format",
    "eps": "EPS files are not accepted: save the image as JPEG",
    "truncated": "the image is cut off or damaged",
    "huge": "20000 x 20000 pixels, at most 40 million are accepted: make it smaller",
    "large": "12000 x 8334 pixels, at most 40 million are accepted: make it smaller",
    "cmyk": "converted from CMYK",
    "16-bit": "converted from I;16",
    "animated": "of an animation with 2 images the first one",
    "turned": "turned as its EXIF data says",
    "palette": "",
    "alpha": "",
    "views": "",
    "orientation 0": "",
}
"""Kind -> what the message or remark says."""


def write_image(path: Path, kind: str) -> None:
    """Writes a file of that kind, whatever the suffix says."""
    image = Image.fromarray(toy.render(toy.toy_scene("val", 1))[:, :, ::-1])
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = {
        "text": b"not an image",
        "empty": b"",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "fake gif": b"GIF89a" + b"\0" * 20,
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    }
    if kind in raw:
        path.write_bytes(raw[kind])
    elif kind in ("huge", "large"):
        Image.new("1", (20000, 20000) if kind == "huge" else (12000, 8334)).save(path, "PNG")
    elif kind == "truncated":
        image.save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "cmyk":
        image.convert("CMYK").save(path, "JPEG")
    elif kind == "16-bit":
        Image.fromarray(grey).save(path, "PNG")
    elif kind == "animated":
        image.save(path, "GIF", save_all=True, append_images=[image.rotate(90)])
    elif kind == "turned":
        image.transpose(Image.Transpose.ROTATE_90).save(path, "JPEG", exif=exif, quality=95)
    elif kind == "palette":
        image.quantize(64).save(path, "PNG")
    elif kind == "alpha":
        image.convert("RGBA").save(path, "PNG")
    elif kind == "views":
        image.save(path, "MPO", save_all=True, append_images=[image], quality=95)
    elif kind == "orientation 0":
        exif[0x0112] = 0
        image.save(path, "JPEG", exif=exif, quality=95)
