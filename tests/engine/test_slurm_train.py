"""tools/slurm_train.py against a stand-in for submitit: what is asked for, what is queued again."""

import importlib.util
import sys
import types

import pytest

import hoi_d2.engine.setup as setup
from hoi_d2.commands.main import main


@pytest.fixture
def tool():
    return importlib.import_module("hoi_d2.commands.slurm_train")


@pytest.fixture
def submitit(monkeypatch):
    """Records what it is told."""
    fake, helpers = types.ModuleType("submitit"), types.ModuleType("submitit.helpers")
    fake.told = {}

    class AutoExecutor:
        cluster = "slurm"

        def __init__(self, **options):
            fake.told.update(options)

        def update_parameters(self, **options):
            fake.told.update(options)

        def submit(self, function):
            fake.told["function"] = function
            return types.SimpleNamespace(job_id="17")

    class TorchDistributedEnvironment:
        def export(self, **options):
            fake.told["exported"] = options

    fake.AutoExecutor, helpers.DelayedSubmission = AutoExecutor, lambda function: function
    helpers.TorchDistributedEnvironment = TorchDistributedEnvironment
    monkeypatch.setitem(sys.modules, "submitit", fake)
    monkeypatch.setitem(sys.modules, "submitit.helpers", helpers)
    return fake


def test_a_task_per_gpu_and_a_signal_before_the_limit(tool, submitit):
    options = "--nodes 2 --gpus 4 --hours 1.5 --grace 60 --partition p".split()
    args = tool.parse_args([*options, "--", "--config-file", "c.yaml", "SEED", "1"])
    assert tool.submit(args).job_id == "17"
    told = submitit.told
    assert (told["nodes"], told["tasks_per_node"], told["gpus_per_node"]) == (2, 4, 4)
    assert (told["timeout_min"], told["slurm_signal_delay_s"]) == (90, 60)
    assert told["slurm_partition"] == "p" and "slurm_constraint" not in told
    assert told["function"].arguments == ["--config-file", "c.yaml", "SEED", "1"]


def test_what_is_queued_again_resumes(tool, submitit):
    again = tool.Training(["SEED", "1"]).checkpoint()
    assert again.arguments == ["--resume", "SEED", "1"]
    assert again.checkpoint().arguments == again.arguments


@pytest.mark.parametrize("restarts, expected", [(None, ["A", "1"]), ("1", ["--resume", "A", "1"])])
def test_a_requeue_that_submitit_did_not_make_resumes_too(
    tool, submitit, monkeypatch, restarts, expected
):
    calls = []
    monkeypatch.setattr(setup, "main", calls.append)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    if restarts:
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    tool.Training(["A", "1"])()
    assert calls == [expected]


def test_many_images_are_read_there_too(tool, submitit, monkeypatch):
    calls = []
    monkeypatch.setattr("hoi_d2.commands.predict.main", calls.append)
    job = tool.Training(["predict", "--input", "a"])
    job()
    job.checkpoint()()
    assert calls == [["--input", "a"], ["--resume", "--input", "a"]]


def test_without_slurm_nothing_starts_here(tool, submitit, monkeypatch, capsys):
    monkeypatch.setattr(submitit.AutoExecutor, "cluster", "local")
    assert main(["slurm", "--", "SEED", "1"]) == 2
    assert "SLURM is not available" in capsys.readouterr().err and "function" not in submitit.told


def test_without_submitit_the_remedy_is_named(tool, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ImportError, match=r"hoi-d2\[slurm\]"):
        tool.submit(tool.parse_args(["--", "SEED", "1"]))
