"""A run that is killed, stopped or damaged and resumed ends like one that was left alone."""

from pathlib import Path

import pytest
import torch

from tests.engine.kill_and_resume import MAX_ITER, compare, random_kills, run_with_kills


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    assert run_with_kills(directory, [])[0][2] == "exit 0"
    return directory


@pytest.mark.parametrize(
    "kills, workers",
    [
        ([], 0),
        ([(8, "writing"), (20, "renamed"), (30, "updated"), (33, "evaluating")], 0),
        ([(23, "backward"), (40, "told to stop")], 2),
    ],
)
def test_ends_bit_identical(whole_run, tmp_path, kills, workers):
    rows = run_with_kills(tmp_path, kills, ("DATALOADER.NUM_WORKERS", workers))
    ended = ["exit 0" if phase == "told to stop" else "SIGKILL" for _, phase in kills]
    assert [row[2] for row in rows] == [*ended, "exit 0"]
    assert compare(whole_run, tmp_path) == []


@pytest.mark.parametrize("how", ["told to stop", "Ctrl-C"])
def test_a_stopped_run_goes_on_after_its_last_iteration(tmp_path, how):
    rows = run_with_kills(tmp_path, [(9, how)], ("SOLVER.MAX_ITER", 12))
    # The signal comes when the step has been agreed on: it ends after the next one, iteration 10.
    assert [row[3] for row in rows] == ["0", "11"]


def test_the_comparison_sees_one_bit(whole_run, tmp_path):
    state = torch.load(whole_run / "model_final.pth", weights_only=True)
    weight = state["model"]["head.0.weight"]
    weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    torch.save(state, tmp_path / "model_final.pth")
    (tmp_path / "metrics.json").write_text((whole_run / "metrics.json").read_text())
    assert compare(whole_run, tmp_path) == ["/model/head.0.weight"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_ten_random_kills(whole_run, tmp_path, seed):
    rows = run_with_kills(tmp_path, random_kills(10, seed))
    assert len(rows) == 11 and int(rows[-1][3]) < MAX_ITER
    assert compare(whole_run, tmp_path) == []
