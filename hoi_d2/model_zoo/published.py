"""Weights that others have published, by the names that `hoi-d2 download` takes.

A revision or a hash stands here only where it is known: `commit` is the revision of the hub that is
downloaded first. Of everything else the revision and the hashes are recorded at first use
(`hoi_d2/checkpoint/download_record.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_DETR = "Apache-2.0"
_CLIP = "MIT (OpenAI's CLIP)"
_UPT = "BSD-3-Clause"


@dataclass(frozen=True)
class HubModel:
    """Files of one repository of the Hugging Face hub.

    Args:
        repository: such as "facebook/detr-resnet-50".
        revision: branch, tag or commit; "" = main.
        files: "weights" (with config.json), "text" (these and the tokenizer), "open_clip" (a
            whole CLIP in OpenCLIP's files, and the tokenizer), "all" of these that it has, or
            "run" (config.yaml and weights of a run of hoi_d2).
    """

    repository: str
    revision: str = ""
    files: str = "weights"

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository

    def includes(self, other: HubModel) -> bool:
        """Whether who has these files has those of the other too."""
        same = (self.repository, self.revision) == (other.repository, other.revision)
        return same and (self.files == other.files or (self.files, other.files) == _TEXT_INCLUDES)


_TEXT_INCLUDES = ("text", "weights")


@dataclass(frozen=True)
class PageFile:
    """A file that is downloaded by hand, from a page that no program may read.

    Args:
        name: to save it as.
        page: the address.
        layout: of `recognise_layout`, or "upt_detector".
        sha256: "" = not known.
    """

    name: str
    page: str
    layout: str
    sha256: str = ""


@dataclass(frozen=True)
class Published:
    """What one name stands for.

    Args:
        text: what it is.
        licence: of the weights, as far as their authors say.
        hub: from the hub.
        page: by hand.
        megabytes: about, parameters in float32; 0 = unknown.
    """

    text: str
    licence: str
    hub: tuple[HubModel, ...] = ()
    page: PageFile | None = None
    megabytes: int = 0


def _drive(name: str, number: str, layout: str = "upt") -> PageFile:
    return PageFile(name, f"https://drive.google.com/file/d/{number}/view", layout)


def _clip(size: str, patch: int) -> tuple[HubModel, HubModel]:
    """Image tower (timm), and texts (transformers)."""
    tower = HubModel(f"timm/vit_{size}_patch{patch}_clip_224.openai")
    return tower, HubModel(f"openai/clip-vit-{size}-patch{patch}", files="text")


def _clip_resnet(depth: int) -> tuple[HubModel, HubModel]:
    repository = f"timm/resnet{depth}_clip.openai"
    return HubModel(repository), HubModel(repository, files="open_clip")


_DETR_R50 = HubModel("facebook/detr-resnet-50", "no_timm")

PUBLISHED = {
    "zeroshot": Published(
        "DETR R50 and CLIP B/16: your own words as classes",
        f"{_DETR}, {_CLIP}",
        (_DETR_R50, *_clip("base", 16)),
        megabytes=1110,
    ),
    "detr-r50": Published("DETR R50 on COCO", _DETR, (_DETR_R50,), megabytes=166),
    "clip-b16": Published("CLIP ViT-B/16", _CLIP, _clip("base", 16), megabytes=943),
    "clip-b32": Published("CLIP ViT-B/32", _CLIP, _clip("base", 32), megabytes=956),
    "clip-l14": Published("CLIP ViT-L/14", _CLIP, _clip("large", 14), megabytes=2926),
    "clip-r50": Published("CLIP ResNet-50", _CLIP, _clip_resnet(50)),
    "clip-r101": Published("CLIP ResNet-101", _CLIP, _clip_resnet(101)),
    "mobilebert": Published(
        "MobileBERT, RmLR's sentences",
        "Apache-2.0",
        (HubModel("google/mobilebert-uncased", files="text"),),
    ),
    "bert": Published(
        "BERT base", "Apache-2.0", (HubModel("google-bert/bert-base-uncased", files="text"),)
    ),
    "defr-b16": Published(
        "DEFR ViT-B/16 on HICO, by its authors",
        "none stated",
        page=_drive(
            "DEFR-vitbp16-b4-lr75e6-65.62.pt", "1EJJln6eNzwGWE5FowkBN8APzJ6Od9prI", "defr_release"
        ),
    ),
    "upt-r50": Published(
        "UPT R50 on HICO-DET, by its authors",
        _UPT,
        page=_drive("upt-r50-hicodet.pt", "1lvopTC_JlGHdKOyyEZTUp2VtFfCQ-08z"),
    ),
    "upt-r101": Published(
        "UPT R101 on HICO-DET",
        _UPT,
        page=_drive("upt-r101-hicodet.pt", "10-ht8AO4AvqtX2AJ0hXq1Fz0-W8qST-E"),
    ),
    "upt-r50-vcoco": Published(
        "UPT R50 on V-COCO",
        _UPT,
        page=_drive("upt-r50-vcoco.pt", "17Cfse3pNarVgFZd0ArMg-h6yWEYpa2NQ"),
    ),
    "upt-r101-vcoco": Published(
        "UPT R101 on V-COCO",
        _UPT,
        page=_drive("upt-r101-vcoco.pt", "1ahE9K-XocMfu1wm8-rEBx4py8m3-_tmt"),
    ),
    "detr-r50-hico": Published(
        "DETR R50 fine-tuned on HICO-DET, by UPT's authors",
        _UPT,
        page=_drive("detr-r50-hicodet.pth", "1BQ-0tbSH7UC6QMIMMgdbNpRw2NcO8yAD", "upt_detector"),
    ),
    "detr-r101-hico": Published(
        "DETR R101 on HICO-DET",
        _UPT,
        page=_drive("detr-r101-hicodet.pth", "1pZrRp8Qcs5FNM9CJsWzVxwzU7J8C-t8f", "upt_detector"),
    ),
    "detr-r50-vcoco": Published(
        "DETR R50 on V-COCO",
        _UPT,
        page=_drive("detr-r50-vcoco.pth", "1AIqc2LBkucBAAb_ebK9RjyNS5WmnA4HV", "upt_detector"),
    ),
    "detr-r101-vcoco": Published(
        "DETR R101 on V-COCO",
        _UPT,
        page=_drive("detr-r101-vcoco.pth", "1XbOaGiVPuxmB9PwrcUdf0XlGnuTXARjX", "upt_detector"),
    ),
}
"""Name -> what it stands for."""

PINNED = {
    "facebook/detr-resnet-50@no_timm": "70120ba84d68ca1211e007c4fb61d0cd5424be54",
    "openai/clip-vit-base-patch16": "57c216476eefef5ab752ec549e440a49ae4ae5f3",
    "openai/clip-vit-base-patch32": "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
    "openai/clip-vit-large-patch14": "32bd64288804d66eefd0ccbe215aa642df71cc41",
}
"""Model of the hub -> the commit that is downloaded first, as public projects name it."""

MEGABYTES = {
    "facebook/detr-resnet-50@no_timm": 166,
    "openai/clip-vit-base-patch16": 598,
    "openai/clip-vit-base-patch32": 605,
    "openai/clip-vit-large-patch14": 1710,
    "timm/vit_base_patch16_clip_224.openai": 345,
    "timm/vit_base_patch32_clip_224.openai": 351,
    "timm/vit_large_patch14_clip_224.openai": 1216,
}
"""Model of the hub -> about how large its weights are: parameters times four bytes."""


def names_for(models: Sequence[HubModel]) -> list[str]:
    """The arguments of `hoi-d2 download` that bring these models: names, else their ids."""
    if models and (together := _covering(models)):
        return [together]
    return list(dict.fromkeys(_covering([one]) or str(one) for one in models))


def _covering(models: Sequence[HubModel]) -> str:
    """The name that stands for the fewest models, these among them; "" = none."""
    fitting = [
        (len(published.hub), name)
        for name, published in PUBLISHED.items()
        if all(any(has.includes(one) for has in published.hub) for one in models)
    ]
    return min(fitting)[1] if fitting else ""
