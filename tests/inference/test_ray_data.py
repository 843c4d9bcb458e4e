"""`hoi-d2 predict --ray`: with a stand-in of Ray, and (slow) with Ray itself."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hoi_d2.commands import predict
from hoi_d2.inference.bulk import ray_data
from hoi_d2.inference.bulk.run import Progress
from hoi_d2.inference.choice import ModelChoice
from tests.inference.bulk_stub import StubPredictor, grey_image, job
from tests.inference.dying_choice import DyingChoice

pytest.importorskip("pyarrow")
ROOT = Path(__file__).parents[2]


class FakeRay:
    """One process that does what the cluster would do."""

    def __init__(self, **resources: float) -> None:
        self.connected, self.resources = [], resources
        self.exceptions = SimpleNamespace(RayError=ArithmeticError)
        self.data = self
        self.DataContext = SimpleNamespace(get_current=lambda: SimpleNamespace())
        self.ActorPoolStrategy = lambda size: size

    def is_initialized(self) -> bool:
        return bool(self.connected)

    def init(self, address: str, **options: object) -> None:
        if address == "nowhere:1":
            raise ConnectionError("no cluster at nowhere:1")
        self.connected.append(address)

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def from_items(self, items: list[dict], override_num_blocks: int) -> FakeRay:
        self.items = items
        return self

    def map_batches(self, worker, *, fn_constructor_args, **options: object) -> FakeRay:
        self.worker, self.options = worker(*fn_constructor_args), options
        return self

    def iter_batches(self, batch_size: int):
        for item in self.items:
            yield self.worker({"id": [item["id"]]})


@pytest.fixture
def ray(monkeypatch) -> FakeRay:
    ray = FakeRay(CPU=2)
    monkeypatch.setattr(ray_data, "import_extra", lambda *args, **kwargs: ray)
    monkeypatch.setattr(ModelChoice, "predictor", lambda self: StubPredictor())
    return ray


@pytest.fixture
def folder(tmp_path) -> Path:
    """Five images."""
    (folder := tmp_path / "images").mkdir()
    for number in range(5):
        grey_image(folder / f"img_{number}.png", 10 * number)
    return folder


def test_every_shard_is_written(folder, tmp_path, ray):
    first = job([folder], tmp_path / "out", shard_size=2)
    ray_data.run_on_ray(first, workers=2)
    assert ray.connected == ["local"] and ray.options["compute"] == 2
    assert Progress.of(tmp_path / "out") == Progress(3, 3, 5, 0, 0)
    ray.connected.clear()
    ray_data.run_on_ray(replace(first, resume=True))
    assert ray.connected == [], "nothing is left to do"


def test_what_is_left_goes_on(folder, tmp_path, ray):
    first = job([folder], tmp_path / "out", shard_size=2)
    ray_data.run_on_ray(first)
    (tmp_path / "out" / "shards" / "000001.parquet").unlink()
    ray_data.run_on_ray(replace(first, resume=True))
    assert ray.items == [{"id": 1}] and Progress.of(tmp_path / "out").finished == 3


@pytest.mark.parametrize(
    ("address", "workers", "said"),
    [
        ("nowhere:1", 1, "--ray nowhere:1: no cluster at nowhere:1"),
        ("local", 3, "the cluster has 2 CPU, and 3 workers need 3: give a smaller --num-gpus"),
    ],
)
def test_clusters_that_cannot_do_it(folder, tmp_path, ray, capsys, address, workers, said):
    with pytest.raises(SystemExit, match="2"):
        ray_data.run_on_ray(job([folder], tmp_path / "out"), address=address, workers=workers)
    assert said in capsys.readouterr().err


def test_a_worker_that_fails(folder, tmp_path, ray, capsys, monkeypatch):
    def fail(self, batch):
        raise ArithmeticError("traceback\nout of memory")

    monkeypatch.setattr(ray_data.ShardWorker, "__call__", fail)
    with pytest.raises(SystemExit, match="2"):
        ray_data.run_on_ray(job([folder], tmp_path / "out"))
    assert "a worker failed (out of memory)" in capsys.readouterr().err


def test_the_command(folder, tmp_path, ray, capsys):
    arguments = ["--input", str(folder), "--output", str(tmp_path / "out"), "--ray", "auto"]
    assert predict.main([*arguments, "--num-gpus", "2"]) == 0
    assert (
        ray.connected == ["auto"] and "1 of 1 shards finished: 5 images" in capsys.readouterr().out
    )
    with pytest.raises(SystemExit, match="2"):
        predict.main([*arguments, "--num-machines", "2"])
    assert "leave out --num-machines" in capsys.readouterr().err


def test_without_ray(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit, match="2"):
        ray_data.run_on_ray(job([folder], tmp_path / "out"))
    assert "pip install 'hoi-d2[ray]'" in capsys.readouterr().err


@pytest.mark.slow
def test_two_workers_of_ray_and_one_is_killed(folder, tmp_path, monkeypatch):
    """Nothing is lost and nothing doubled; Ray gives the shard to another worker."""
    ray = pytest.importorskip("ray")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    output = tmp_path / "out"
    dying = DyingChoice(device="cpu", shards=str(output / "shards"))
    try:
        ray_data.run_on_ray(replace(job([folder], output, shard_size=1), model=dying), workers=2)
    finally:
        ray.shutdown()
    assert (output / "killed").exists(), "no worker was killed"
    assert Progress.of(output) == Progress(5, 5, 5, 0, 0)
    assert not list(output.rglob("*.tmp"))
