"""Files of a hub: downloaded once, the same ever after, and every failure is named."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download

from hoi_d2.checkpoint.download_record import ChangedFileError, read_record
from hoi_d2.checkpoint.hub import hub_folder, is_hub_id, require
from hoi_d2.checkpoint.hub_cache import files_lacking, files_wanted, is_here, local_folder
from hoi_d2.checkpoint.hub_download import (
    CacheFolderError,
    HubError,
    MissingFilesError,
    download,
)
from hoi_d2.model_zoo.published import PINNED, PUBLISHED, HubModel, names_for
from tests.checkpoint.local_hub import LocalHub, commit_of, etag

MODEL = HubModel("us/tower")
TEXT = HubModel("us/texts", "v1", "text")
WEIGHTS = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 100, "README.md": b"x"}
TOKENIZER = {"tokenizer.json": b"{ }", "vocab.json": b"{}"}
A, B = commit_of(10), commit_of(11)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with two models and an empty cache of this machine."""
    served = LocalHub()
    served.add(MODEL.repository, dict(WEIGHTS), commit=A)
    served.add(TEXT.repository, WEIGHTS | TOKENIZER, commit=B, branch="v1")
    served.start()
    use_hub(monkeypatch, served.address, tmp_path)
    yield served
    served.stop()


def use_hub(monkeypatch, address: str, folder: Path) -> None:
    """The environment of a machine with this hub and an empty cache."""
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))


def empty_cache(monkeypatch, tmp_path, name="other"):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / name))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in os.listdir(folder)}


NEEDED = {k: v for k, v in WEIGHTS.items() if k != "README.md"}


@pytest.mark.parametrize(
    ("names", "files", "wanted"),
    [
        ("", "weights", ""),
        ("", "all", ""),
        ("README.md", "text", ""),
        ("model.safetensors", "weights", "model.safetensors"),
        ("pytorch_model.bin model.safetensors", "weights", "model.safetensors"),
        ("pytorch_model.bin config.json", "weights", "pytorch_model.bin config.json"),
        ("open_clip_model.safetensors", "weights", ""),
        ("model.safetensors.index.json", "weights", ""),
        (
            "model.safetensors.index.json model-00002-of-00002.safetensors "
            "model-00001-of-00002.safetensors",
            "weights",
            "model.safetensors.index.json model-00001-of-00002.safetensors "
            "model-00002-of-00002.safetensors",
        ),
        ("model.safetensors tokenizer.json", "text", ""),  # no config
        ("model.safetensors config.json vocab.json", "text", ""),  # half a tokenizer
        (
            "model.safetensors config.json vocab.txt tf_model.h5",
            "text",
            "model.safetensors config.json vocab.txt",
        ),
        (
            "open_clip_model.safetensors open_clip_config.json tokenizer.json model.safetensors",
            "open_clip",
            "open_clip_model.safetensors open_clip_config.json tokenizer.json",
        ),
        (
            "open_clip_model.safetensors open_clip_config.json tokenizer.json model.safetensors",
            "all",
            "model.safetensors open_clip_model.safetensors open_clip_config.json tokenizer.json",
        ),
    ],
)
def test_files_wanted(names, files, wanted):
    assert files_wanted(names.split(), files) == wanted.split()
    assert bool(files_lacking(names.split(), files)) == (not wanted)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", False),
        ("facebook/detr-resnet-50", True),
        ("output/model_final.pth", False),
        ("tests/checkpoint", False),  # it is here
        ("a/b/c", False),
        ("detr", False),
        ("../b", False),
    ],
)
def test_is_hub_id(source, expected):
    assert is_hub_id(source) == expected


def test_downloaded_once_recorded_and_used_without_the_network(hub):
    assert not is_here(MODEL)
    folder = hub_folder(MODEL)
    assert contents(folder) == NEEDED and folder.name == A
    record = read_record("us/tower")
    assert record.commit == A
    assert record.sha256["model.safetensors"] == etag(".bin", WEIGHTS["model.safetensors"])
    assert set(record.sha256) == set(NEEDED)
    count = len(hub.requests)
    hub.status = 500
    assert hub_folder(MODEL) == folder and is_here(MODEL)
    assert len(hub.requests) == count


def test_texts_and_weights_of_one_model_share_a_record(hub):
    weights = HubModel(TEXT.repository, "v1")
    assert contents(hub_folder(weights)) == NEEDED
    assert not is_here(TEXT)
    assert contents(hub_folder(TEXT)) == NEEDED | TOKENIZER
    assert set(read_record("us/texts@v1").sha256) == {*NEEDED, *TOKENIZER}
    assert is_here(weights)


def test_a_cut_connection_is_resumed(hub, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    hub.cut_at["model.safetensors"] = 10_000
    assert contents(hub_folder(MODEL)) == NEEDED
    assert hub.ranges() and 0 < int(hub.ranges()[0][len("bytes=") : -1]) <= 10_000


def test_a_connection_that_stays_cut_keeps_what_is_complete(hub, monkeypatch):
    def breaks(*args, **kwargs):
        raise ConnectionError("cut\nagain")

    with monkeypatch.context() as patched:
        patched.setattr("huggingface_hub.file_download.http_get", breaks)
        with pytest.raises(MissingFilesError) as error:
            download([MODEL, TEXT])
    text = str(error.value)
    assert "model.safetensors broke off" in text and "cut" in text and "again\n" not in text
    assert "us/tower" in text and "us/texts@v1" in text
    assert read_record("us/tower") is None
    download([MODEL, TEXT])
    assert is_here(MODEL) and is_here(TEXT)


def test_a_full_disk_is_named(hub, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(CacheFolderError, match=r"model.safetensors.*No space left.*HF_HOME"):
        hub_folder(MODEL)


def test_the_recorded_revision_is_downloaded_also_where_the_branch_has_moved(
    hub, monkeypatch, tmp_path
):
    hub_folder(MODEL)
    hub.add(MODEL.repository, NEEDED | {"model.safetensors": b"new"}, commit=B)
    empty_cache(monkeypatch, tmp_path)
    assert contents(hub_folder(MODEL)) == NEEDED
    download([MODEL], update=True)
    assert hub_folder(MODEL).name == B and read_record("us/tower").commit == B
    assert contents(hub_folder(MODEL))["model.safetensors"] == b"new"


def test_a_changed_revision_is_an_error(hub, monkeypatch, tmp_path):
    hub_folder(MODEL)
    hub.models[MODEL.repository] = {B: dict(WEIGHTS)}
    hub.branches[MODEL.repository] = {"main": B}
    empty_cache(monkeypatch, tmp_path)
    with pytest.raises(ChangedFileError, match=f"expected {A}, found {B}.*--update us/tower"):
        hub_folder(MODEL)
    download([MODEL], update=True)
    assert hub_folder(MODEL).name == B


def test_a_cache_of_another_revision_is_an_error(hub, monkeypatch, tmp_path):
    hub_folder(MODEL)
    snapshots = tmp_path / "hub" / "models--us--tower" / "snapshots"
    (snapshots / A).rename(snapshots / B)
    (snapshots.parent / "refs" / "main").write_text(B)
    with pytest.raises(ChangedFileError, match=f"in the hub's cache.*expected {A}, found {B}"):
        hub_folder(MODEL)


def test_a_download_with_a_wrong_hash_is_an_error_until_it_is_mended(hub):
    wrong = b"z" * len(WEIGHTS["model.safetensors"])
    hub.replaced["model.safetensors"] = wrong
    for _ in range(2):  # what lies in the cache is no better
        with pytest.raises(ChangedFileError) as error:
            hub_folder(MODEL)
        text = str(error.value)
        assert "model.safetensors" in text and "hoi-d2 download --force us/tower" in text
        assert f"expected SHA-256 {etag('.bin', WEIGHTS['model.safetensors'])}" in text
        assert f"found {etag('.bin', wrong)}" in text
    assert read_record("us/tower") is None
    hub.replaced.clear()
    download([MODEL], force=True)
    assert contents(hub_folder(MODEL)) == NEEDED


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_file_that_is_damaged_later_is_an_error(hub, name):
    path = hub_folder(MODEL) / name
    path.resolve().write_bytes(b"?" + path.read_bytes()[1:])
    with pytest.raises(ChangedFileError, match=f"{name}.*damaged or another file.*--force"):
        hub_folder(MODEL)
    download([MODEL], force=True)
    assert contents(hub_folder(MODEL)) == NEEDED


def test_a_hub_that_gives_another_file_for_the_same_revision(hub, monkeypatch, tmp_path):
    hub_folder(MODEL)
    hub.models[MODEL.repository][A]["model.safetensors"] = b"another"
    empty_cache(monkeypatch, tmp_path)
    with pytest.raises(ChangedFileError, match=r"is another file.*--update us/tower"):
        hub_folder(MODEL)
    assert not list((tmp_path / "other").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (HubModel("no/such"), "no file or folder of this machine.*no model of that name"),
        (HubModel("us/tower", "v9"), "no revision v9 of us/tower"),
        (HubModel("gated/model"), "accepted its terms.*hf auth login"),
        (HubModel("us/tower", files="text"), "it has no tokenizer.json"),
        (HubModel("us/tower", files="open_clip"), "no open_clip_config.json, no open_clip_model"),
    ],
)
def test_what_the_hub_does_not_have(hub, model, message):
    with pytest.raises(HubError, match=message):
        hub_folder(model)
    assert read_record(str(model)) is None


ZEROSHOT = list(PUBLISHED["zeroshot"].hub)


WHY = {
    "closed": "http://127.0.0.1:9 does not answer",
    "offline": "HF_HUB_OFFLINE is set",
    "503": "answers with error 503",
    "page": "does not answer as a hub does",
}


@pytest.mark.parametrize("fault", WHY)
def test_without_a_network_everything_that_is_missing_is_named_at_once(hub, monkeypatch, fault):
    if fault == "closed":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    if fault == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    if fault == "503":
        hub.status = 503
    hub.page = b"<html>please log in</html>" if fault == "page" else b""
    start = time.monotonic()
    with pytest.raises(MissingFilesError) as error:
        require([*ZEROSHOT, *ZEROSHOT])
    assert time.monotonic() - start < 5
    text = str(error.value)
    assert "\n" not in text and "about 1109 MB" in text
    for model, size in zip(ZEROSHOT, (166, 345, 598)):
        assert re.search(rf"{model} \(config.json, model.saf[^)]*; about {size} MB\)", text)
    assert text.endswith("run hoi-d2 download zeroshot")
    assert WHY[fault] in text
    assert len(hub.requests) <= 1  # no second try


def test_only_what_is_missing_is_named(hub, monkeypatch):
    hub_folder(MODEL)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    require([MODEL])
    with pytest.raises(MissingFilesError) as error:
        require([MODEL, TEXT])
    assert "us/texts@v1 (config.json" in str(error.value) and "us/tower" not in str(error.value)
    assert "size unknown" in str(error.value)
    assert str(error.value).endswith("hoi-d2 download us/texts@v1")


def test_a_pinned_revision_is_downloaded_first(hub, monkeypatch):
    monkeypatch.setitem(PINNED, "us/tower", A)
    hub.add(MODEL.repository, dict(WEIGHTS), commit=B)
    assert hub_folder(MODEL).name == A
    monkeypatch.setitem(PINNED, "us/texts@v1", A)
    with pytest.raises(ChangedFileError, match=f"expected {A}, found {B}"):
        hub_folder(TEXT)


def test_what_another_program_has_downloaded_is_recorded_at_first_use(hub):
    for name in NEEDED:
        hf_hub_download(MODEL.repository, name, endpoint=hub.address)
    hub.status = 500
    assert contents(hub_folder(MODEL)) == NEEDED
    assert read_record("us/tower").commit == A


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"commit": "a", "files": []}',
        b'{"commit": "a", "files": {"x": {"sha256": "12"}}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_record_is_named(hub, downloads, content):
    hub_folder(MODEL)
    (path,) = (downloads / "downloads").iterdir()
    assert json.loads(path.read_text())["files"]["config.json"]["bytes"] == 2
    path.write_bytes(content)
    with pytest.raises(ChangedFileError, match=f"{path.name}.*damaged.*Remove it"):
        hub_folder(MODEL)
    path.unlink()
    assert local_folder(MODEL) is not None


def test_a_record_that_cannot_be_written_is_a_warning(hub, downloads, caplog):
    downloads.mkdir()
    (downloads / "downloads").write_text("a file")
    assert contents(hub_folder(MODEL)) == NEEDED
    assert "could not be recorded" in caplog.text
    assert contents(hub_folder(MODEL)) == NEEDED


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ([], []),
        (ZEROSHOT, ["zeroshot"]),
        (ZEROSHOT[:1], ["detr-r50"]),
        (ZEROSHOT[1:], ["clip-b16"]),
        (ZEROSHOT[2:], ["clip-b16"]),
        ([ZEROSHOT[0], MODEL], ["detr-r50", "us/tower"]),
        ([HubModel("facebook/detr-resnet-50", "main")], ["facebook/detr-resnet-50@main"]),
        ([HubModel("openai/clip-vit-base-patch32")], ["clip-b32"]),  # its weights alone
    ],
)
def test_names_for(models, names):
    assert names_for(models) == names
