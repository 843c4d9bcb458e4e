from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from data_forms import pair_set
from PIL import Image
from test_builtin import qpic_hico
from test_hico_mpii import release_mat  # noqa: F401  a fixture
from test_vcoco import official

from hoi_d2.data.datasets.hico_det import load_hico_det
from hoi_d2.data.datasets.records import DataFormatError
from hoi_d2.data.datasets.vcoco import load_vcoco
from hoi_d2.data.image_sizes import store_image_sizes
from hoi_d2.data.prepare.counts import EXPECTED, KNOWN_SHA256, Found, count_table
from hoi_d2.data.prepare.files import PreparationError, download, extract, place
from hoi_d2.data.prepare.hico_det import convert_official, upt_document
from hoi_d2.data.prepare.vcoco import labelled_images, pick_annotations
from hoi_d2.utils.files import sha256_of

TOOLS = Path(__file__).parents[2] / "tools"
CONTENT = bytes(range(256)) * 40


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; `breaks` answers stop half-way, `resumes` says whether ranges are known."""

    breaks, resumes, requests = 0, True, []

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        type(self).requests.append(asked)
        if self.path == "/none":
            self.send_error(404)
            return
        start = int(asked.split("=")[1].rstrip("-")) if asked and self.resumes else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).breaks:
            type(self).breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server():
    """The address of a server on this machine, and its handler."""
    handler = type("H", (Handler,), {"requests": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", handler
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize(("breaks", "resumes"), [(0, True), (2, True), (1, False)])
def test_download_goes_on_where_it_broke(server, tmp_path, breaks, resumes):
    address, handler = server
    handler.breaks, handler.resumes = breaks, resumes
    file = tmp_path / "new/a.bin"
    checksum = hashlib.sha256(CONTENT).hexdigest()
    assert download(f"{address}/a", file, sha256=checksum) == file
    assert file.read_bytes() == CONTENT
    assert len(handler.requests) == breaks + 1
    assert [bool(r) for r in handler.requests] == [False] + [True] * breaks
    assert list(file.parent.iterdir()) == [file]
    download(f"{address}/a", file, sha256=checksum)
    assert len(handler.requests) == breaks + 1  # it is there


def test_download_that_was_interrupted_before(server, tmp_path):
    address, handler = server
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:100])
    download(f"{address}/a", tmp_path / "a.bin")
    assert handler.requests == ["bytes=100-"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    (tmp_path / "b.bin.part").write_bytes(CONTENT)  # complete, but not yet in its place
    download(f"{address}/b", tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == CONTENT


def test_download_that_fails(server, tmp_path):
    address, handler = server
    with pytest.raises(PreparationError, match="404"):
        download(f"{address}/none", tmp_path / "a")
    assert len(handler.requests) == 1  # no is no
    handler.breaks = 10**6
    with pytest.raises(PreparationError, match="again to continue"):
        download(f"{address}/a", tmp_path / "a", attempts=2)
    handler.breaks = 0
    with pytest.raises(PreparationError, match="SHA-256"):
        download(f"{address}/a", tmp_path / "a", sha256="0" * 64)
    assert not (tmp_path / "a").exists()


def archive(folder: Path, kind: str, members: dict[str, bytes]) -> Path:
    file = folder / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as content:
            for name, data in members.items():
                content.writestr(name, data)
    else:
        with tarfile.open(file, "w:gz" if kind == "tar.gz" else "w") as content:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                content.addfile(info, io.BytesIO(data))
    return file


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_extraction_goes_on_where_it_stopped(tmp_path, kind):
    file = archive(tmp_path, kind, {"x/1.txt": b"one", "x/2.txt": b"two", "y.txt": b""})
    target = tmp_path / "out"
    assert extract(file, target) == 3
    assert (target / "x/2.txt").read_bytes() == b"two"
    assert extract(file, target) == 0
    (target / "x/1.txt").write_bytes(b"o")
    (target / "y.txt").unlink()
    assert extract(file, target) == 2
    assert (target / "x/1.txt").read_bytes() == b"one"
    assert extract(file, tmp_path / "some", keep=lambda name: name.startswith("y")) == 1


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "x/../../evil.txt"])
def test_member_that_wants_out(tmp_path, kind, name):
    target = tmp_path / "in/out"
    with pytest.raises(PreparationError, match="outside the folder"):
        extract(archive(tmp_path, kind, {name: b"x"}), target)
    assert not list(tmp_path.rglob("evil.txt"))


def test_archive_that_is_none(tmp_path):
    file = archive(tmp_path, "tar.gz", {"x": CONTENT})
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(PreparationError, match=r"again|neither"):
        extract(file, tmp_path / "out")
    file.write_bytes(b"hello")
    with pytest.raises(PreparationError, match="neither"):
        extract(file, tmp_path)
    with pytest.raises(PreparationError, match="no such"):
        extract(tmp_path / "none.zip", tmp_path)
    with pytest.raises(PreparationError, match="no such"):
        place(tmp_path / "none.json", tmp_path)


def test_upt_document_says_the_same(test_data, write_json, tmp_path):
    """The form that the official file is turned into, on the whole real test set."""
    file = test_data / "hico_det/instances_test2015.json"
    records = load_hico_det(file)
    again = load_hico_det(write_json(upt_document(records)))
    assert again == records


def test_official_hico_det_becomes_a_fast_file(tmp_path):
    from data_forms import struct_array
    from scipy.io import savemat
    from test_hico_det import _mat_image

    annotation = {"boxes_h": [[1, 1, 5, 5]], "boxes_o": [[2, 2, 6, 6]], "hoi": [18]}
    images = struct_array([_mat_image("HICO_test2015_00000001.jpg", [8, 6], annotation)])
    savemat(tmp_path / "anno_bbox.mat", {"bbox_test": images, "bbox_train": images})
    files = convert_official(tmp_path / "anno_bbox.mat", tmp_path)
    assert [f.name for f in files] == ["instances_train2015.json", "instances_test2015.json"]
    made, source = load_hico_det(files[1]), load_hico_det(tmp_path / "anno_bbox.mat", split="test")
    assert pair_set(made) == pair_set(source)
    assert len(pair_set(made)) == 1
    assert convert_official(tmp_path / "anno_bbox.mat", tmp_path) == []


def test_sizes_are_stored(write_json, tmp_path):
    file = write_json(qpic_hico())
    assert store_image_sizes(load_hico_det(file, tmp_path), file) is None  # no images
    Image.new("RGB", (8, 6)).save(tmp_path / qpic_hico()[0]["file_name"])
    sizes = store_image_sizes(load_hico_det(file, tmp_path), file)
    assert json.loads(sizes.read_text()) == {qpic_hico()[0]["file_name"]: [6, 8]}


def test_picked_coco_boxes_are_enough(write_json, tmp_path):
    labels, coco = official()
    coco["categories"] = []
    coco["annotations"][0]["segmentation"] = [[1, 2, 3]]
    label_file, coco_file = write_json(labels, "vcoco_test.json"), write_json(coco, "coco.json")
    ids = labelled_images([label_file])
    assert ids == {42}
    picked = pick_annotations([coco_file], ids, tmp_path / "new/picked.json")
    content = json.loads(picked.read_text())
    assert [i["id"] for i in content["images"]] == [42]
    assert "segmentation" not in picked.read_text()
    expected = load_vcoco(label_file, coco_annotations=coco_file)
    assert load_vcoco(label_file, coco_annotations=picked) == expected
    with pytest.raises(DataFormatError, match="77"):
        pick_annotations([coco_file], {42, 77}, tmp_path / "x.json")
    with pytest.raises(DataFormatError, match="official V-COCO"):
        labelled_images([coco_file])


@pytest.mark.parametrize("part", ["train", "val", "trainval", "test"])
def test_real_vcoco_counts(test_data, part):
    records = load_vcoco(test_data / f"vcoco/instances_vcoco_{part}.json")
    expected = EXPECTED[f"vcoco_{part}"]
    found = Found.of(records)
    assert (found.annotated, found.interactions) == (expected.annotated, expected.interactions)
    assert len(records) == expected.images


@pytest.mark.parametrize("part", ["train", "test"])
def test_real_hico_det_counts(test_data, part):
    """Also what the explanation of 37,633 of 38,118 says."""
    from hoi_d2.data.datasets.hico import POSITIVE, read_image_labels

    name = "trainval_hico.json" if part == "train" else "test_hico.json"
    records, expected = load_hico_det(test_data / "hico_det" / name), EXPECTED[f"hico_det_{part}"]
    found = Found.of(records)
    assert (found.annotated, found.interactions) == (expected.annotated, expected.interactions)
    names, labels = read_image_labels(test_data / "hico_det/anno.mat", part)
    assert len(names) == expected.images
    boxed = {r["file_name"] for r in records}
    rest = np.asarray([n not in boxed for n in names])
    assert rest.sum() == expected.images - expected.annotated == {"train": 485, "test": 112}[part]
    assert ((labels[rest] == POSITIVE).sum(axis=1) > 0).all()


def test_real_checksums(test_data):
    found = {f.name: sha256_of(f) for f in test_data.glob("*/*") if f.name in KNOWN_SHA256}
    assert found == KNOWN_SHA256


def test_count_table_shows_what_differs():
    table = count_table({"vcoco_test": Found(4946, 4532, 12401)})
    assert "12,401" in table
    assert table.count("ok") == 2
    assert table.count("differs") == 1


def run_tool(name: str, root: Path, *args: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(TOOLS / f"prepare_{name}.py"), "--root", str(root)]
    return subprocess.run([*command, *map(str, args)], capture_output=True, text=True, check=False)


def test_hico_det_tool(tmp_path, write_json):
    image = io.BytesIO()
    Image.new("RGB", (8, 6)).save(image, "JPEG")
    name = f"hico_20160224_det/images/test2015/{qpic_hico()[0]['file_name']}"
    file = archive(tmp_path, "tar.gz", {name: image.getvalue()})
    root, annotations = tmp_path / "root", write_json(qpic_hico(), "test_hico.json")
    args = ["--archive", file, "--annotations", annotations]
    done = run_tool("hico_det", root, *args)
    assert done.returncode == 0, done.stderr
    assert "37,633" in done.stdout
    assert "differs from the published file" in done.stdout  # not the real test_hico.json
    assert (root / "hico_20160224_det/annotations/test_hico.sizes.json").is_file()
    wrong = run_tool("hico_det", root, *args, "--sha256", "0" * 64)
    assert wrong.returncode == 2
    assert "SHA-256" in wrong.stderr


def test_vcoco_tool(tmp_path, write_json):
    labels, coco = official()
    coco["categories"] = []
    files = write_json(labels, "vcoco_test.json"), write_json(coco, "coco.json")
    root = tmp_path / "root"
    done = run_tool("vcoco", root, "--labels", files[0], "--coco-annotations", files[1])
    assert done.returncode == 0, done.stderr
    assert (root / "v-coco/data/instances_vcoco_all_2014.json").is_file()
    row = next(r for r in done.stdout.split("\n") if "vcoco_test" in r and "interactions" in r)
    assert row.split()[2] == "1"  # the cake that is cut; the others have no visible object
    assert run_tool("vcoco", root, "--labels", files[0]).returncode == 2


def test_mpii_tool(tmp_path, release_mat):  # noqa: F811
    root = tmp_path / "root"
    (root / "mpii").mkdir(parents=True)
    official_file = release_mat()
    official_file.rename(root / "mpii" / official_file.name)
    names = tmp_path / "names.txt"
    names.write_text("015.jpg\n")
    done = run_tool("mpii", root, "--val-images", names)
    assert done.returncode == 0, done.stderr
    assert "3 training images" in done.stdout
    assert (root / "mpii/val_images.txt").read_text() == "015.jpg\n"
    assert run_tool("mpii", tmp_path / "none").returncode == 2


def test_hico_tool(tmp_path, test_data):
    (tmp_path / "hico_20160224_det").mkdir()
    (tmp_path / "hico_20160224_det/anno.mat").symlink_to(test_data / "hico_det/anno.mat")
    done = run_tool("hico", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "as published" in done.stdout
    assert "245,627" in done.stdout
