"""What a run writes: Weights & Biases where it is asked for, logs that repeat no iteration."""

import sys
from types import SimpleNamespace

import pytest
from detectron2.utils.events import EventStorage

from hoi_d2.engine.writers import WandbWriter, build_writers, cut_log, peak_memory_mb


class FakeRun:
    def __init__(self) -> None:
        self.rows, self.finished = [], False

    def log(self, values: dict, *, step: int) -> None:
        self.rows.append((step, values))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    run, calls = FakeRun(), []
    module = SimpleNamespace(init=lambda **options: calls.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return SimpleNamespace(run=run, calls=calls)


def test_wandb_gets_each_value_once(wandb, tmp_path):
    writer = WandbWriter("mine", {"cfg": "text"}, str(tmp_path))
    assert wandb.calls[0]["project"] == "mine" and wandb.calls[0]["config"] == {"cfg": "text"}
    with EventStorage() as storage:
        for iteration in range(3):
            storage.iter = iteration
            if iteration < 2:
                storage.put_scalar("loss", float(iteration), smoothing_hint=False)
            writer.write()
    writer.close()
    assert wandb.run.rows == [(0, {"loss": 0.0}), (1, {"loss": 1.0})] and wandb.run.finished


@pytest.mark.parametrize("project, number", [("", 3), ("mine", 4)])
def test_wandb_is_one_config_key(wandb, tmp_path, project, number):
    writers = build_writers(
        str(tmp_path), start_iter=0, max_iter=1, batch_size=1, wandb_project=project
    )
    assert len(writers) == number and len(wandb.calls) == number - 3


def test_without_wandb_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"hoi-d2\[wandb\]"):
        WandbWriter("mine", {}, str(tmp_path))


@pytest.mark.parametrize(
    "text, kept",
    [("", ""), ('{"iteration": 1}\n{"iteration": 5}\n', '{"iteration": 1}\n'), ('{"iter', "")],
)
def test_a_log_is_cut_where_the_run_goes_on(tmp_path, text, kept):
    path = tmp_path / "train_log.jsonl"
    path.write_text(text)
    cut_log(path, 5)
    assert path.read_text() == kept


def test_peak_memory_is_in_mebibytes():
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])  # touched, so that it is resident
    assert 64 < peak_memory_mb() < 2**16
