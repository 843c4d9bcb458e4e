import json
from pathlib import Path

import pytest

from hoi_d2.commands.main import COMMANDS, DATA_COMMANDS
from hoi_d2.commands.main import run as run_command
from hoi_d2.commands.plot_log import named_runs
from hoi_d2.evaluation.result_files import write_results

TOOLS = Path(__file__).parents[2] / "tools"


def run(name, argv):
    """The command as the console calls it: mistakes are one line and exit code 2."""
    commands = {c.module: c for c in (*COMMANDS.values(), *DATA_COMMANDS.values())}
    return run_command(f"hoi-d2 {name}", commands[name], [str(a) for a in argv])


@pytest.fixture
def own_json(dataset, tmp_path) -> Path:
    """The small dataset as a file of own data."""
    data = {
        "images": [],
        "annotations": [],
        "hoi_annotations": [],
        "categories": [{"id": i, "name": n} for i, n in enumerate(dataset.vocabulary.objects)],
        "verb_categories": [{"id": i, "name": n} for i, n in enumerate(dataset.vocabulary.verbs)],
        "hoi_categories": [
            {"id": i, "category_id": int(o), "verb_id": int(v)}
            for i, (o, v) in enumerate(dataset.vocabulary.hois)
        ],
    }
    for record in dataset.records:
        image = {key: record[key] for key in ("height", "width")}
        image |= {"id": record["image_id"], "file_name": Path(record["file_name"]).name}
        data["images"].append(image)
        first = len(data["annotations"])
        for item in record["annotations"]:
            x0, y0, x1, y1 = item["bbox"]
            annotation = {"id": len(data["annotations"]), "image_id": record["image_id"]}
            annotation |= {"category_id": item["category_id"], "bbox": [x0, y0, x1 - x0, y1 - y0]}
            data["annotations"].append(annotation)
        for pair in record["hoi_annotations"]:
            entry = {"id": len(data["hoi_annotations"]), "image_id": record["image_id"]}
            entry |= {"human_annotation_id": first + pair["human"], "verb_id": pair["verb"]}
            entry["object_annotation_id"] = first + pair["object"]
            data["hoi_annotations"].append(entry)
    file = tmp_path / "own.json"
    file.write_text(json.dumps(data))
    return file


def test_visualize_data_on_a_file(own_json, tmp_path, capsys):
    out = tmp_path / "out"
    argv = [str(own_json), "--image-root", str(tmp_path), "--output", str(out), "--html"]
    assert run("visualize_data", argv) == 0
    assert len(list((out / "images").glob("*.png"))) == 3
    assert "3 of 3 images drawn" in capsys.readouterr().out
    assert run("visualize_data", [*argv, "--verb", "ride", "--jpg", "--exact-boxes"]) == 0
    assert [p.name for p in (out / "images").glob("*.jpg")] == ["scene_1.jpg"]


def test_visualize_data_on_the_toy_world(tmp_path):
    argv = ["toy_hoi_val", "--output", str(tmp_path), "--num", "2", "--rare"]
    assert run("visualize_data", argv) == 0
    assert len(list((tmp_path / "images").iterdir())) == 2


def test_visualize_data_names_the_first_images_that_are_not_there(own_json, tmp_path, capsys):
    content = json.loads(own_json.read_text())
    gone = [{"id": 100 + i, "file_name": f"gone_{i}.png"} for i in range(25)]
    own_json.write_text(json.dumps(content | {"images": content["images"] + gone}))
    argv = [str(own_json), "--image-root", str(tmp_path), "--output", str(tmp_path / "out")]
    assert run("visualize_data", argv) == 1
    printed = capsys.readouterr()
    assert "gone_19.png" in printed.err and "gone_20.png" not in printed.err
    assert "... and 5 more images" in printed.err
    assert "3 of 28 images drawn" in printed.out


def test_visualize_data_exit_codes(own_json, tmp_path, capsys):
    argv = [str(own_json), "--image-root", str(tmp_path), "--output", str(tmp_path / "out")]
    (tmp_path / "scene_2.png").unlink()
    assert run("visualize_data", argv) == 1
    assert "scene_2.png" in capsys.readouterr().err
    assert run("visualize_data", [*argv, "--verb", "rode"]) == 2
    assert "Did you mean ride" in capsys.readouterr().err
    assert run("visualize_data", ["no_such_name", "--output", str(tmp_path)]) == 2
    (tmp_path / "own.json").write_text("{")
    assert run("visualize_data", argv) == 2
    assert "own.json" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_visualize_results(suffix, own_json, results, tmp_path, capsys):
    file, out = tmp_path / f"results{suffix}", tmp_path / "out"
    write_results(file, results)
    argv = ["--dataset", str(own_json), "--image-root", str(tmp_path), "--results", str(file)]
    argv += ["--output", str(out)]
    assert run("visualize_results", [*argv, "--worst-first"]) == 0
    printed = capsys.readouterr().out
    assert "With score >= 0.900: 1 hits, 2 missed, 0 false alarms" in printed  # the best F1
    assert (out / "index.html").is_file() and (out / "figures" / "class_ap.csv").is_file()
    chosen = [
        "--hoi",
        "hold sports ball",
        "--score-threshold",
        "0.1",
        "--train-dataset",
        str(own_json),
    ]
    assert run("visualize_results", [*argv, *chosen]) == 0
    assert (out / "figures" / "ap_by_samples.png").is_file()


def test_visualize_results_exit_codes(own_json, results, tmp_path, capsys):
    argv = ["--dataset", str(own_json), "--output", str(tmp_path / "out"), "--results"]
    assert run("visualize_results", [*argv, str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
    write_results(tmp_path / "r.json", results)
    assert run("visualize_results", [*argv, str(tmp_path / "r.json"), "--hoi", "x"]) == 2
    assert "no HOI is called 'x'" in capsys.readouterr().err
    assert run("visualize_results", [*argv, str(tmp_path / "r.json")]) == 1  # no images there


def test_plot_log(tmp_path, capsys):
    for folder in ("x/run", "y/run"):
        (tmp_path / folder).mkdir(parents=True)
        line = json.dumps({"iteration": 0, "total_loss": 1.0})
        (tmp_path / folder / "metrics.json").write_text(line + "\n")
    runs = [str(tmp_path / "x" / "run"), str(tmp_path / "y" / "run" / "metrics.json")]
    out = tmp_path / "curves.png"
    assert run("plot_log", [*runs, "--output", str(out)]) == 0
    assert "total_loss" in capsys.readouterr().out and out.is_file()
    assert list(named_runs(runs)) == ["run", str(tmp_path / "y" / "run")]
    assert list(named_runs([f"a={runs[0]}", f"b={runs[1]}"])) == ["a", "b"]
    assert run("plot_log", [f"a={runs[0]}", f"a={runs[1]}"]) == 2
    assert run("plot_log", [str(tmp_path / "z")]) == 2
    assert "error: " in capsys.readouterr().err
