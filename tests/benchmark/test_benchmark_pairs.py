"""The cost of pairs: what is timed is what the model does, beside the naive way."""

import json

import pytest
import torch

from hoi_d2.benchmark.infer import main
from hoi_d2.benchmark.pairs import (
    after_detector,
    crowd,
    curve_table,
    first_pairs,
    naive_rows,
    pair_curve,
)
from tests.modeling.meta_arch.test_defr_det import as_dict, config, defr_det, model_input


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_the_curve(kind):
    result = pair_curve(
        config(kind=kind), size=(48, 64), batch=2, rounds=1, naive_up_to=10
    )  # the crowd gives 435 pairs
    rows = result["pairs"]
    assert list(rows) == [1, 10, 100, 435]
    assert rows[1]["cpu_ratio"] == rows[1]["clock_ratio"] == 1
    assert all(rows[n]["difference"] <= 1e-5 for n in (1, 10))
    assert "naive_cpu" not in rows[100]
    assert "not run" in curve_table(result)


@torch.no_grad()
def test_what_is_timed_is_the_models_forward():
    model, x = defr_det(), model_input()
    found = model.entity_detector([x])
    pairs = model.pair_generator(found.instances)
    timed = after_detector(model, pairs, [x])[0]["hoi_instances"]
    assert as_dict(timed) == pytest.approx(as_dict(model([x])[0]["hoi_instances"]))


@pytest.mark.parametrize("kind", ["vit", "resnet"])
@torch.no_grad()
def test_the_naive_way_gives_the_same(kind):
    model = defr_det(kind=kind)
    pairs = model.pair_generator([crowd((48, 64), model.device), crowd((48, 64), model.device)])
    pairs = first_pairs(pairs, 7)
    assert pairs.counts == [7, 7] and pairs.image_index.tolist() == [0] * 7 + [1] * 7
    side = model.image_encoder.image_size
    tokens = model.image_encoder.tokens_before_last(torch.randn(2, 3, side, side))
    arguments = tokens, model.patches(pairs), pairs.image_index
    torch.testing.assert_close(
        model.image_encoder.attend(*arguments),
        naive_rows(model.image_encoder, *arguments),
        atol=1e-5,
        rtol=1e-5,
    )


def test_the_command(tmp_path, capsys):
    options = ["MODEL.IMAGE_ENCODER.NAME", "vit_tiny_patch16_224", "INPUT.SQUARE_SIZE", "32"]
    command = ["--config-file", "DEFR-Det/zeroshot-ViT-B-16.yaml", "--rounds", "1"]
    command += ["--size", "48", "64", "--naive-up-to", "1", "--json", str(tmp_path / "a.json")]
    options += ["MODEL.IMAGE_ENCODER.IMAGE_SIZE", "32", "MODEL.DETR.RESNET.DEPTHS", "[1, 1]"]
    options += ["MODEL.DETR.RESNET.HIDDEN_SIZES", "[16, 32]", "MODEL.DETR.ENCODER_LAYERS", "1"]
    assert main([*command, "--opts", *options]) == 0
    assert "vit_tiny_patch16_224 at 32" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["pairs"]["435"]["clock_ratio"] > 0
