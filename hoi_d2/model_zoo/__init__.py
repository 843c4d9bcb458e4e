"""Configs and weights that travel with the package.

`hoi_d2://toy/rmlr.safetensors` names a shipped weight file wherever a path is expected.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from detectron2.utils.file_io import PathManager
from iopath.common.file_io import PathHandler

from hoi_d2.utils.files import cache_root, sha256_of, write_atomically

_PACKAGE = Path(__file__).parent
PREFIX = "hoi_d2://"
ALIASES = {"photo": "photo/photo", "defr-det-zeroshot": "DEFR-Det/zeroshot-ViT-B-16"}
"""Short names of models."""


class ShippedWeightsHandler(PathHandler):
    """Lets detectron2's PathManager open `hoi_d2://...`, read only.

    detectron2's own checkpointer (of its DefaultPredictor) reads no safetensors: it gets a copy as
    `.pth` out of the cache. This package reads the file itself, see `local_path`.
    """

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        return str(_as_pth(shipped_weights(path)))

    def _isfile(self, path: str, **kwargs: Any) -> bool:
        return (_PACKAGE / "weights" / path.removeprefix(PREFIX)).is_file()

    def _exists(self, path: str, **kwargs: Any) -> bool:
        return self._isfile(path)

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO[Any]:
        if mode not in ("r", "rb"):
            raise ValueError(f"{path} is part of the package and read only")
        return open(self._get_local_path(path), mode, buffering)


def shipped_weights(path: str) -> Path:
    """The file of `hoi_d2://toy/rmlr.safetensors`.

    Raises:
        FileNotFoundError: not shipped; lists what is.
    """
    root = _PACKAGE / "weights"
    file = root / path.removeprefix(PREFIX)
    if not (file.is_file() and file.resolve().is_relative_to(root.resolve())):
        shipped = sorted(PREFIX + str(p.relative_to(root)) for p in root.rglob("*.safetensors"))
        raise FileNotFoundError(f"{path} does not come with the package; it has {shipped}")
    return file


def _as_pth(file: Path) -> Path:
    """A copy of a safetensors file as detectron2 saves checkpoints, made once."""
    import torch
    from safetensors.torch import load_file

    copy = cache_root() / "detectron2" / f"{file.stem}-{sha256_of(file)[:16]}.pth"
    if not copy.is_file():
        copy.parent.mkdir(parents=True, exist_ok=True)
        weights = load_file(file)
        write_atomically(copy, lambda target: torch.save({"model": weights}, target))
    return copy


def local_path(path: str) -> str:
    """The file on disk of any path that detectron2 understands, `hoi_d2://` included."""
    if path.startswith(PREFIX):
        return str(shipped_weights(path))
    return PathManager.get_local_path(path)


def configs_root() -> Path:
    """The folder of configs: inside an installed package, or the checkout's `configs`."""
    packaged = _PACKAGE / "configs"
    return packaged if packaged.is_dir() else _PACKAGE.parents[1] / "configs"


def config_file(name: str) -> str:
    """The path of a config such as `toy/rmlr.yaml` or `configs/toy/rmlr.yaml`.

    A file of that name in the current folder comes first.

    Raises:
        FileNotFoundError: neither here nor in the package; lists the packaged ones.
    """
    if Path(name).is_file():
        return str(name)
    packaged = configs_root() / name.removeprefix("configs/")
    if packaged.is_file():
        return str(packaged)
    known = sorted(str(p.relative_to(configs_root())) for p in configs_root().rglob("*.yaml"))
    raise FileNotFoundError(f"no config {name}; hoi_d2 has {', '.join(known)}")


def model_names() -> list[str]:
    """The models that come with the package, `toy/rmlr` for `configs/toy/rmlr.yaml`.

    Files that others build on (`Base-*.yaml`), short names of other files and the pattern for own
    data are none.
    """
    root = configs_root()
    return [
        str(path.relative_to(root).with_suffix(""))
        for path in sorted(root.rglob("*.yaml"))
        if not path.name.startswith("Base") and "own_data" not in path.name and not _base_of(path)
    ]


def short_names() -> list[str]:
    """Short names of those models, such as `RmLR/R50`."""
    root = configs_root()
    found = [path for path in sorted(root.rglob("*.yaml")) if _base_of(path)]
    return [str(path.relative_to(root).with_suffix("")) for path in found]


def full_name(name: str) -> str:
    """The full name for a short one: `RmLR/rmlr_R50_hico_det` for `RmLR/R50`."""
    name = ALIASES.get(name, name)
    file = configs_root() / f"{name}.yaml"
    base = _base_of(file) if file.is_file() else ""
    return str(Path(name).with_name(base).with_suffix("")) if base else name


def _base_of(file: Path) -> str:
    """The file that a config is a short name of: it says `_BASE_` and nothing else; "" = none."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    only_base = len(lines) == 1 and lines[0].startswith("_BASE_: ")
    return lines[0].removeprefix("_BASE_: ") if only_base else ""


def model_name(file: str | Path) -> str:
    """The full name of the packaged model whose config a file is; "" for other files."""
    file, root = Path(file).resolve(), configs_root().resolve()
    if not file.is_relative_to(root):
        return ""
    return full_name(str(file.relative_to(root).with_suffix("")))


def pretrained_weights(name: str) -> str | None:
    """`hoi_d2://toy/rmlr.safetensors` for `toy/rmlr`; None where no weights come along."""
    path = f"{PREFIX}{name}.safetensors"
    return path if (_PACKAGE / "weights" / f"{name}.safetensors").is_file() else None


def register_path_handler() -> None:
    """Makes detectron2's PathManager understand `hoi_d2://`; safe to call again."""
    PathManager.register_handler(ShippedWeightsHandler(), allow_override=True)
