"""`hoi-d2 eval --model`, with the device, the batch and 16 bits as flags."""

from __future__ import annotations

import json

import pytest

from hoi_d2.commands.eval import main
from hoi_d2.engine.setup import parse_args
from tests import toy_few

OPTIONS = ["DATASETS.TEST", "('toy_few_val',)", "DATALOADER.NUM_WORKERS", "0"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "toy/rmlr"], "for evaluation"),
        (["--half"], "for evaluation"),
        (["--batch-size", "2"], "for evaluation"),
        (["--eval-only", "--batch-size", "0"], "must be 1 or more"),
        (["--eval-only", "--model", "a", "--config-file", "b"], "leave out --config-file"),
    ],
)
def test_flags_that_do_not_go_together(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_args(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "toy/rmrl"], "Did you mean toy/rmlr?"),
        (["--model", "toy/rmlr", "--device", "cuda:99"], "device cuda:99"),
        (["--model", "toy/rmlr", "--device", "cpu", "--half"], "needs a GPU"),
    ],
)
def test_mistakes(words, message, capsys, tmp_path):
    toy_few.register()
    with pytest.raises(SystemExit) as ended:
        main([*words, *OPTIONS, "OUTPUT_DIR", str(tmp_path)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_batch_changes_no_result(tmp_path):
    toy_few.register()
    found = []
    for size in ("1", "2"):
        output = tmp_path / size
        words = ["--model", "toy/rmlr", "--device", "cpu", "--batch-size", size]
        assert main([*words, *OPTIONS, "OUTPUT_DIR", str(output)]) == 0
        found.append(json.loads((output / "metrics.json").read_text()))
    assert found[0]["hico_det/mAP_default_full"] > 0
    assert found[1] == pytest.approx(found[0], abs=0.01, nan_ok=True)
