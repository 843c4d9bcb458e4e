import csv
import json

import numpy as np
import pytest

from hoi_d2.visualization.plots.learning_curves import plot_learning_curves, read_metrics, smooth


@pytest.fixture
def run(tmp_path):
    def write(name, lines) -> str:
        folder = tmp_path / name
        folder.mkdir()
        text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
        (folder / "train_log.jsonl").write_text(text)
        return str(folder)

    return write


def loss(iteration, value, **more):
    return {"iteration": iteration, "total_loss": value, **more}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], {}),
        ([loss(0, 2.0), loss(20, 1.5)], {"total_loss": ([0, 20], [2.0, 1.5])}),
        # resumed from iteration 20: what was written again counts
        ([loss(20, 3.0), loss(40, 2.0), loss(20, 1.0)], {"total_loss": ([20, 40], [1.0, 2.0])}),
        ([loss(0, 2.0), '{"iteration": 20, "total_l'], {"total_loss": ([0], [2.0])}),
        ([loss(0, 2.0), "\n", loss(20, 1, name="x", flag=True)], {"total_loss": ([0, 20], [2, 1])}),
        (
            [loss(0, 2.0), {"iteration": 20, "a/mAP": 7}],
            {"total_loss": ([0], [2]), "a/mAP": ([20], [7])},
        ),
        ([{"mAP": 7}], {}),  # a final metrics.json of an evaluation has no iterations
    ],
)
def test_read_metrics(lines, expected, run):
    found = read_metrics(run("a", lines))
    assert {k: (x.tolist(), y.tolist()) for k, (x, y) in found.items()} == expected


def test_the_log_comes_before_the_metrics_and_detectron2s_own_is_read_too(run, tmp_path):
    folder = run("a", [loss(0, 2.0)])
    (tmp_path / "a" / "metrics.json").write_text('{\n "hico_det/mAP": 7\n}\n')
    assert list(read_metrics(folder)) == ["total_loss"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "metrics.json").write_text(json.dumps(loss(3, 1.0)))
    assert list(read_metrics(tmp_path / "b")) == ["total_loss"]


@pytest.mark.parametrize("line", ["{broken\n", "[1, 2]\n"])
def test_a_broken_line_is_named(line, run):
    folder = run("a", [loss(0, 1.0), line, loss(1, 1.0)])
    with pytest.raises(ValueError, match=r"train_log.jsonl, line 2"):
        read_metrics(folder)


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_metrics(tmp_path / "nowhere")


@pytest.mark.parametrize("window", [1, 2, 5, 50])
def test_smooth_against_a_loop(window):
    values = np.random.default_rng(0).random(30)
    expected = [np.median(values[max(0, i - window + 1) : i + 1]) for i in range(30)]
    np.testing.assert_allclose(smooth(values, window), expected)


def test_several_runs_in_one_image(run, tmp_path):
    rng = np.random.default_rng(0)
    runs = {
        name: run(
            name, [loss(20 * i, float(rng.random()), loss_verb=1.0, lr=0.1) for i in range(60)]
        )
        for name in ("first", "second")
    }
    path = tmp_path / "out" / "curves.png"
    assert plot_learning_curves(path, runs) == ["total_loss", "lr"]
    assert plot_learning_curves(path, runs, metrics=["loss_*", "total*"], log_scale=True) == [
        "loss_verb",
        "total_loss",
    ]
    with path.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 60
    assert {(r["run"], r["metric"]) for r in rows} == {
        (r, m) for r in runs for m in ("loss_verb", "total_loss")
    }
    raw = [float(r["value"]) for r in rows if r["run"] == "first" and r["metric"] == "total_loss"]
    assert raw == read_metrics(runs["first"])["total_loss"][1].tolist()


def test_no_such_metric_says_what_there_is(run, tmp_path):
    folder = run("a", [loss(0, 1.0)])
    with pytest.raises(ValueError, match="there are: total_loss"):
        plot_learning_curves(tmp_path / "a.png", {"a": folder}, metrics=["nothing"])
