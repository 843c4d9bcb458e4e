"""A detector's weight file that is not there: what is refused, and what the user is told."""

from __future__ import annotations

import pytest
from detectron2.modeling import build_model

from hoi_d2.checkpoint.checkpointer import HOICheckpointer
from hoi_d2.checkpoint.errors import WeightsError
from hoi_d2.checkpoint.random_weights import refuse_random_weights
from hoi_d2.commands.main import main
from hoi_d2.config.load import load_config
from hoi_d2.engine.trained_weights import load_trained
from hoi_d2.modeling.entity_detector.weights import (
    MissingDetectorError,
    missing_weights,
    require_weights,
)
from hoi_d2.utils.user_errors import EXIT_CODE
from tests.modeling.tiny import tiny_config

HERE, GONE = "hoi_d2://toy/detr.safetensors", "output/Detr/R50_HICO/model_final.pth"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", ""),
        (HERE, ""),
        ("facebook/detr-resnet-50", ""),  # the hub is asked later, and answers for itself
        (__file__, ""),
        ("gone.pth", "configs/Detr trains detectors"),
        ("/tmp/R50_NONE/model_final.pth", "configs/Detr trains detectors"),
        (GONE, "configs/Detr/R50_HICO.yaml --num-gpus 8 MODEL.WEIGHTS detr-r50-e632da11.pth"),
        (GONE, "hoi-d2 download detr-r50-hico\n"),
        (GONE, "weights/detr-r50-hicodet.pth"),
        ("output/Detr/R101_VCOCO/model_final.pth", "configs/Detr/R101_COCO_for_VCOCO.yaml"),
        (
            "output/Detr/R101_VCOCO/model_final.pth",
            "MODEL.WEIGHTS output/Detr/R101_COCO_for_VCOCO/model_final.pth",
        ),
    ],
)
def test_what_is_said_of_a_file(source, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reason = missing_weights(tiny_config("RmLR", "MODEL.ENTITY_DETECTOR.WEIGHTS", source))
    assert bool(reason) == bool(said) and said in reason
    if said:
        assert f"no weight file {source}" in reason and "MODEL.ENTITY_DETECTOR.WEIGHTS" in reason


def test_the_commands_that_are_named_exist():
    """Of every detector that a config of RmLR and UPT names."""
    for name in ("R50_HICO", "R101_HICO", "R50_VCOCO", "R101_VCOCO"):
        path = f"output/Detr/{name}/model_final.pth"
        reason = missing_weights(tiny_config("RmLR", "MODEL.ENTITY_DETECTOR.WEIGHTS", path))
        for line in reason.splitlines():
            if "--config-file" in line:
                load_config(line.split("--config-file ")[1].split()[0])
        assert f"hoi-d2 download detr-{name.lower().replace('_', '-')}\n" in reason


@pytest.mark.parametrize("source", [GONE, "gone.pth"])
@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ((), True),
        (("MODEL.WEIGHTS", "rmlr.pth"), False),  # may hold a copy of the detector
        (("MODEL.ALLOW_RANDOM_WEIGHTS", True), False),
    ],
)
def test_what_is_refused(source, options, refused, tmp_path, monkeypatch, caplog):
    """A path of one's own when the model is built; a config's default where the model is used."""
    monkeypatch.chdir(tmp_path)
    weights = ("MODEL.ENTITY_DETECTOR.WEIGHTS", source)
    cfg = tiny_config("RmLR", "MODEL.ALLOW_RANDOM_WEIGHTS", False, *weights, *options)
    if refused:
        with pytest.raises(MissingDetectorError, match="no weight file"):
            require_weights(cfg)
        if source != GONE:
            with pytest.raises(MissingDetectorError, match="no weight file"):
                build_model(cfg)
            return
    model = build_model(cfg)
    assert model.entity_detector.is_random and "entity_detector" in model.random_weights()
    assert f"no weight file {source}" in caplog.text
    with pytest.raises(WeightsError, match=f"entity_detector.*no weight file {source}"):
        refuse_random_weights(model, model.random_weights(), allowed=False)


def test_a_default_that_is_not_there_is_refused_without_the_command_too(tmp_path):
    options = ("MODEL.ALLOW_RANDOM_WEIGHTS", False, "MODEL.ENTITY_DETECTOR.WEIGHTS", GONE)
    cfg = tiny_config("RmLR", *options, "OUTPUT_DIR", str(tmp_path))
    model = build_model(cfg)
    with pytest.raises(WeightsError, match="hoi-d2 download detr-r50-hico"):
        load_trained(model, cfg)
    checkpointer = HOICheckpointer(model)  # of a training, whose other random parts are trained
    assert checkpointer.frozen_random_parts() == ["entity_detector"]


@pytest.mark.parametrize("processes", ["1", "4"])
def test_the_command_of_the_readme_says_it_at_once(processes, tmp_path, monkeypatch, capsys):
    """Before the output folder is made, a process is started or data is looked for."""
    monkeypatch.chdir(tmp_path)
    argv = ["train", "--config-file", "configs/RmLR/R50.yaml", "--num-gpus", processes]
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == EXIT_CODE and not list(tmp_path.iterdir())
    said = capsys.readouterr().err
    assert said.startswith(f"error: no weight file {GONE}") and said.count("error:") == 1
