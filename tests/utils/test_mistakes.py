"""What a user gets wrong: one line that names the key or the file, exit status 2, no traceback."""

import argparse
import errno
import io
import logging
import pickle
import sys

import pytest
import torch
from detectron2.utils.logger import setup_logger

import hoi_d2.engine.setup as setup
from hoi_d2.checkpoint.config_difference import config_differences
from hoi_d2.commands.main import main
from hoi_d2.config.defaults import add_hoi_config
from hoi_d2.config.load import ConfigError, load_config, merge_config
from hoi_d2.engine.config_check import check_config
from hoi_d2.engine.logs import parameter_table, start_logs
from hoi_d2.utils.user_errors import EXIT_CODE, IN_A_STEP, IN_SETUP, message, reported_mistakes
from tests import tiny_world as tiny


@pytest.mark.parametrize(
    "opts, said",
    [
        (["SOLVER.MAX_ITER"], "SOLVER.MAX_ITER has no value"),
        (["SOLVER.MAX_ITER=4"], "KEY VALUE, with a space"),
        (["SOLVER.MAX_ITER", "4", "--eval-only"], "put --eval-only before"),
        (["SOLVER.MAXITER", "4"], "Did you mean SOLVER.MAX_ITER?"),
        (["MAX_ITER", "4"], "Did you mean SOLVER.MAX_ITER?"),
        (["MODEL.WEIGHTS.X", "4"], "unknown config key MODEL.WEIGHTS.X"),
        (["XYZ", "4"], "unknown config key XYZ"),
        (["SOLVER", "4"], "SOLVER is a group of keys: SOLVER."),
        (["SOLVER.MAX_ITER", "abc"], "SOLVER.MAX_ITER: expected int, got str abc"),
        (["SOLVER.BASE_LR", "1"], "write 1.0"),
        (["SOLVER.AMP.ENABLED", "yes"], "write True or False"),
        (["DATASETS.TEST", "toy_hoi_val"], "\"('toy_hoi_val',)\""),
    ],
)
def test_overrides(opts, said):
    with pytest.raises(ConfigError) as caught:
        load_config("toy/rmlr.yaml", opts)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is not a config"),
        ("- a\n", "is not a config"),
        ("SOLVER: [1", "is not YAML"),
        ("SOLVER: 3\n", "SOLVER is a group of keys"),
        ("SOLVER:\n  MAXITER: 3\n", "Did you mean SOLVER.MAX_ITER?"),
        ("SOLVER:\n  MAX_ITER: 1.5\n", "expected int, got float 1.5"),
        ("_BASE_: not_there.yaml\n", "not_there.yaml"),
        ("MODEL: !!python/object/apply:os.mkdir ['made']\n", "is not YAML"),
    ],
)
def test_files(tmp_path, monkeypatch, text, said):
    """The last one would run code; detectron2 does what it says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config("own.yaml")
    assert said in str(caught.value) and str(caught.value).startswith("own.yaml")
    assert not (tmp_path / "made").exists()


def test_a_config_that_is_not_there_names_similar_ones():
    with pytest.raises(
        FileNotFoundError, match=r"not found: toy/rmlrr.yaml. Did you mean toy/rmlr.yaml or"
    ):
        load_config("toy/rmlrr.yaml")


@pytest.mark.parametrize(
    "opts, training, said",
    [
        ([], True, None),
        (["DATASETS.TEST", ()], True, None),
        (["DATASETS.TEST", ()], False, "DATASETS.TEST is empty"),
        (["DATASETS.TRAIN", ()], False, None),
        (["DATASETS.TRAIN", ()], True, "DATASETS.TRAIN is empty"),
        (["DATASETS.TRAIN", ("tiny_trian",)], True, "Did you mean tiny_train"),
        (["DATASETS.TEST", ("nothing_of_the_kind",)], True, "DATASETS.TEST: unknown value"),
        (["MODEL.META_ARCHITECTURE", "RMLR"], False, "Did you mean RmLR?"),
        (["MODEL.META_ARCHITECTURE", "DEFR-Det"], True, "train a DEFR"),
        (["MODEL.META_ARCHITECTURE", "DEFR-Det"], False, None),
        (["MODEL.DEVICE", "gpu"], True, "MODEL.DEVICE: expected cuda"),
        (["OUTPUT_DIR", ""], True, "OUTPUT_DIR is empty"),
        (["OUTPUT_DIR", " "], False, "OUTPUT_DIR is empty"),
        (["SOLVER.MAX_ITER", 0], True, "SOLVER.MAX_ITER must be at least 1, got 0"),
        (["SOLVER.MAX_ITER", 0], False, None),
        (["SOLVER.IMS_PER_BATCH", 0], True, "SOLVER.IMS_PER_BATCH must be at least 1"),
        (["SOLVER.ACCUMULATE", 0], True, "SOLVER.ACCUMULATE must be at least 1"),
        (["SOLVER.OPTIMIZER", "LION"], True, "ADAM, ADAMW, SGD"),
        (["SOLVER.OPTIMIZER", "sgd"], True, None),
        (["SOLVER.LR_SCHEDULER_NAME", "CosineLR"], True, "Did you mean WarmupCosineLR"),
        (["SOLVER.AMP.ENABLED", True, "SOLVER.AMP.PRECISION", "bf16"], True, "bfloat16"),
        (["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "l2"], 1, "l2"),
    ],
)
def test_words_and_numbers(tmp_path, opts, training, said):
    cfg = tiny.tiny_cfg(tmp_path, *opts)
    if said is None:
        return check_config(cfg, training=training)
    with pytest.raises(ConfigError) as caught:
        check_config(cfg, training=training)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "error, in_setup, in_a_step",
    [
        (KeyError("no such name"), True, False),
        (ValueError("two and three"), True, False),
        (ImportError("pip install it"), True, False),
        (ConfigError("a key"), True, True),
        (OSError(errno.ENOSPC, "No space left on device"), True, True),
        (FloatingPointError("not finite"), True, True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), True, True),
        (RuntimeError("a bug"), False, False),
        (ZeroDivisionError("a bug"), False, False),
    ],
)
def test_what_is_a_mistake(capsys, error, in_setup, in_a_step):
    for kinds, caught in ((IN_SETUP, in_setup), (IN_A_STEP, in_a_step)):
        with pytest.raises(SystemExit if caught else type(error)) as found:
            with reported_mistakes(kinds, "log.txt"):
                raise error
        said = capsys.readouterr().err
        if caught:
            assert found.value.code == EXIT_CODE
            disk = ": the disk of . is full; free some space, then use --resume to continue"
            more = disk if getattr(error, "errno", 0) == errno.ENOSPC else ""
            assert said == f"error: {message(error)}{more} (traceback: log.txt)\n"
        else:
            assert not said


def test_storing_detections_without_the_weight_file(tmp_path, capsys):
    argv = ["--config-file", "configs/toy/rmlr.yaml", "--output", str(tmp_path)]
    argv += ["MODEL.ENTITY_DETECTOR.WEIGHTS", str(tmp_path / "gone.pth")]
    assert main(["cache", *argv]) == EXIT_CODE
    assert "error: no weight file" in capsys.readouterr().err


def test_memory_has_a_remedy():
    assert "SOLVER.ACCUMULATE" in message(torch.OutOfMemoryError("out of memory"))


def tiny_run(monkeypatch, *arguments: object) -> int:
    """Exit status of `tools/train_net.py` on the tiny world, in this process."""

    def add_config(cfg) -> None:
        add_hoi_config(cfg)
        tiny.add_tiny_config(cfg)

    monkeypatch.setattr("hoi_d2.config.load.add_hoi_config", add_config)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    try:
        setup.main([str(a) for a in arguments])
    except SystemExit as end:
        return end.code
    finally:  # the handlers write to pytest's captured output, which is closed after the test
        setup_logger.cache_clear()
        for name in ("fvcore", "detectron2", "hoi_d2"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
    return 0


def evil_pickle(path) -> str:
    class Evil:
        def __reduce__(self):
            return (print, ("code has run",))

    buffer = io.BytesIO()
    pickle.Pickler(buffer, protocol=2).dump({"model": Evil(), "__author__": "x"})
    path.write_bytes(buffer.getvalue())
    return str(path)


@pytest.mark.parametrize("suffix", ["pkl", "pth", "bin"])
def test_code_in_a_weight_file_is_not_run(tmp_path, monkeypatch, capfd, suffix):
    """detectron2 unpickles a .pkl with whatever is in it."""
    file = evil_pickle(tmp_path / f"evil.{suffix}")
    status = tiny_run(monkeypatch, "--eval-only", "MODEL.WEIGHTS", file, "OUTPUT_DIR", tmp_path)
    said = capfd.readouterr()
    assert status == EXIT_CODE and "code has run" not in said.out
    assert f"error: {file} is refused: it holds more than" in said.err


@pytest.mark.parametrize("kind", ["not there", "a list", "cut off", "of another model"])
def test_weights_that_cannot_be(tmp_path, monkeypatch, capfd, kind):
    file = tmp_path / ("weights.safetensors" if kind == "cut off" else "weights.pth")
    if kind == "a list":
        torch.save([1, 2], file)
    elif kind == "cut off":
        file.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    elif kind == "of another model":
        torch.save({"model": {"other.weight": torch.ones(2)}}, file)
    status = tiny_run(monkeypatch, "--eval-only", "MODEL.WEIGHTS", file, "OUTPUT_DIR", tmp_path)
    said = capfd.readouterr()
    assert status == EXIT_CODE and str(file) in said.err and "Traceback" not in said.out + said.err
    if kind == "cut off":
        assert "Traceback" in (tmp_path / "log.txt").read_text()  # for whoever wants it


def test_an_output_that_cannot_be_made(tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("")
    assert tiny_run(monkeypatch, "OUTPUT_DIR", tmp_path / "file" / "run") == EXIT_CODE
    assert f"error: OUTPUT_DIR {tmp_path}/file/run cannot be created" in capfd.readouterr().err


def test_a_full_disk_names_the_checkpoint_and_keeps_the_one_before(tmp_path, monkeypatch, capfd):
    save = torch.save

    def full(data, file) -> None:
        if data.get("iteration") == 9:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(data, file)

    monkeypatch.setattr(torch, "save", full)
    assert tiny_run(monkeypatch, "OUTPUT_DIR", tmp_path) == EXIT_CODE
    said = capfd.readouterr()
    assert "model_0000009.pth could not be written" in said.err and "--resume" in said.err
    assert "Traceback" not in said.out + said.err
    assert sorted(p.name for p in tmp_path.glob("*.pth*")) == ["model_0000004.pth"]


def test_resuming_with_another_config_says_what_differs(tmp_path, monkeypatch, capfd):
    assert tiny_run(monkeypatch, "OUTPUT_DIR", tmp_path) == 0
    options = ("SOLVER.MAX_ITER", 14, "SOLVER.BASE_LR", 0.02, "OUTPUT_DIR", tmp_path)
    assert tiny_run(monkeypatch, "--resume", *options) == 0
    log = (tmp_path / "log.txt").read_text()
    assert "another config, SOLVER.BASE_LR: 0.01 then, 0.02 now" in log
    assert "another config, SOLVER.MAX_ITER: 12 then, 14 now" in log


def test_resuming_another_model_is_refused(tmp_path, monkeypatch, capfd):
    assert tiny_run(monkeypatch, "OUTPUT_DIR", tmp_path) == 0
    monkeypatch.setattr(tiny, "CLASSES", 4)
    assert tiny_run(monkeypatch, "--resume", "OUTPUT_DIR", tmp_path) == EXIT_CODE
    said = capfd.readouterr().err
    assert "of another model: head.3.weight, head.3.bias differ" in said
    assert "Take another OUTPUT_DIR" in said


@pytest.mark.parametrize(
    "expected, status, said",
    [
        ([["tiny", "mAP", 50.0, 100.0]], 0, ""),
        ([["tiny", "mAP", 50.0, 1e-9]], 1, ""),
        ([["tiny", "AP", 50.0, 100.0]], EXIT_CODE, "tiny/AP is not among tiny/mAP, tiny/images"),
        ([["other", "mAP", 50.0, 100.0]], EXIT_CODE, "other/mAP is not among"),
    ],
)
def test_expected_results(tmp_path, monkeypatch, capfd, expected, status, said):
    options = ("TEST.EXPECTED_RESULTS", expected, "OUTPUT_DIR", tmp_path)
    assert tiny_run(monkeypatch, "--eval-only", *options) == status
    assert said in capfd.readouterr().err


def test_the_console_is_short_and_the_log_has_everything(tmp_path, monkeypatch, capfd):
    assert tiny_run(monkeypatch, "OUTPUT_DIR", tmp_path) == 0
    console, log = capfd.readouterr().out, (tmp_path / "log.txt").read_text()
    assert len(console.splitlines()) < 60
    for text in ("IMS_PER_BATCH: 4", "sys.platform", "(dropout)"):
        assert text not in console
    for text in ("IMS_PER_BATCH: 4", "sys.platform", "Dropout(", "parameters (M)"):
        assert text in log
    assert "parameters (M)" in console and "iter 8/12" in console and "tiny/mAP" in console
    cfg = load_config("")
    tiny.add_tiny_config(cfg)
    merge_config(cfg, str(tmp_path / "config.yaml"))
    assert config_differences((tmp_path / "config.yaml").read_text(), cfg.dump()) == []


def test_no_weights_and_bias_unless_asked(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # its import would fail
    assert tiny_run(monkeypatch, "OUTPUT_DIR", tmp_path) == 0
    assert list(tmp_path.glob("events.out.tfevents.*")) and (tmp_path / "metrics.json").is_file()


def test_parts_and_their_parameters(tmp_path):
    rows = parameter_table(tiny.TinyModel(tiny.tiny_cfg(tmp_path))).splitlines()
    assert [row.split()[0] for row in rows[2:]] == ["detector", "head", "backbone", "unused", "all"]
    assert rows[2].split()[1:] == ["0.00", "0.00"]


def test_logs_start_twice(tmp_path):
    """An evaluation after a training in one process: lines are not doubled."""
    cfg = tiny.tiny_cfg(tmp_path)
    for _ in range(2):
        start_logs(cfg, argparse.Namespace())
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert sum("1 process;" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("name", "line", "shown"),
    [
        ("hoi_d2.engine.logs", "", True),
        ("hoi_d2.engine.logs", "copypaste: a", True),
        ("detectron2.data.common", "Serializing 4 elements to byte tensors", False),
        ("detectron2.data.common", "Removed 2 images", True),
        ("detectron2.evaluation.testing", "copypaste: Task: hico_det", False),
        ("detectron2.engine.defaults", "Evaluation results for a in csv format:", False),
        ("detectron2.engine.defaults", "Starting training", True),
    ],
)
def test_what_the_console_leaves_to_the_file(tmp_path, capfd, name, line, shown):
    start_logs(tiny.tiny_cfg(tmp_path), argparse.Namespace())
    capfd.readouterr()
    logging.getLogger(name).info(f"{line} END")
    said = capfd.readouterr()
    assert ("END" in said.out + said.err) == shown
    assert f"{line} END" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("files", [{"a": "a"}, {"a": "b", "b": "a"}])
def test_a_config_that_includes_itself(tmp_path, files):
    for name, base in files.items():
        (tmp_path / f"{name}.yaml").write_text(f"_BASE_: {base}.yaml\n")
    with pytest.raises(ConfigError, match=r"a\.yaml includes itself"):
        load_config(str(tmp_path / "a.yaml"))
