"""`hoi-d2`: every command is there, shows an example, and is the same function as in `tools/`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hoi_d2 import __version__
from hoi_d2.commands.main import COMMANDS, DATA_COMMANDS, main

ROOT = Path(__file__).parents[2]
TOOLS = sorted((ROOT / "tools").glob("*.py"))
CALLS = [[name] for name in COMMANDS if name != "data"] + [["data", name] for name in DATA_COMMANDS]
MINE = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}],
    "verb_categories": [{"id": 1, "name": "wave"}],
    "hoi_annotations": [
        {
            "id": 1,
            "image_id": 1,
            "human_annotation_id": 1,
            "object_annotation_id": None,
            "verb_id": 1,
        }
    ],
}


def exit_code(arguments):
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    ("arguments", "code"), [([], 2), (["--help"], 0), (["data"], 2), (["data", "-h"], 0)]
)
def test_usage(arguments, code, capsys):
    assert main(arguments) == code
    printed = capsys.readouterr().out
    name, commands = ("hoi-d2 data", DATA_COMMANDS) if "data" in arguments else ("hoi-d2", COMMANDS)
    for word, command in commands.items():
        assert f"{name} {word} {command.example}".rstrip() in printed


def test_the_contract():
    assert {"demo", "train", "eval", "data", "export", "benchmark", "env"} <= set(COMMANDS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hoi-d2 {__version__}\n"


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_help_names_the_command(call, capsys):
    assert not exit_code([*call, "--help"])
    printed = capsys.readouterr().out
    assert f"hoi-d2 {' '.join(call)}" in printed
    assert "python tools/" not in printed


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_a_tool_is_a_command(tool):
    if tool.stem in ("make_model_zoo", "make_config_page", "make_rows_page"):  # for developers
        return
    code = tool.read_text()
    assert len(code.splitlines()) <= 10
    call = json.loads("[" + code.split("main([")[1].split(", *sys")[0] + "]")
    assert call in CALLS


def test_every_command_has_a_tool():
    code = "".join(tool.read_text() for tool in TOOLS)
    words = [", ".join(json.dumps(word) for word in call) for call in CALLS if call != ["env"]]
    assert not [w for w in words if f"main([{w}, *sys" not in code]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fly"], "unknown command 'fly'"),
        (["trainn"], "Did you mean 'train'?"),
        (["data", "validat"], "Did you mean 'validate'?"),
        (["data", "validate"], "required: PATH (see hoi-d2 data validate --help)"),
        (["demo", "--config-file", "toy/rmlrr.yaml", "{tmp}/a.jpg"], "a.jpg"),
        (["demo", "a.jpg", "--score-threshold", "2"], "from 0 to 1"),
        (["demo", "--webcam", "a.jpg"], "cannot be combined"),
        (["demo", "{tmp}/b.png", "--detector", "detr-r50"], "facebook/detr-resnet-50"),
        (["demo", "a.jpg", "--detector", "yolo"], "invalid choice"),
        (
            ["demo", "a.jpg", "--detector", "detr-r50", "--config-file", "x.yaml"],
            "cannot be combined",
        ),
        (["web", "--config-file", "none.yaml"], "none.yaml"),
        (["train", "--config-file", "none.yaml"], "none.yaml"),
        (["eval", "--config-file", "none.yaml"], "none.yaml"),
        (["eval", "--dataset", "hico_det_test", "--results", "none.json"], "DETECTRON2_DATASETS"),
        (["export", "--config-file", "none.yaml", "--output", "{tmp}"], "none.yaml"),
        (["benchmark", "fly"], "unknown benchmark 'fly'"),
        (["plot", "{tmp}/none"], "none"),
        (["strip", "{tmp}/none.pth", "{tmp}/x.safetensors"], "none.pth"),
        (["convert-weights", "{tmp}/none.pth", "{tmp}/x.safetensors"], "none.pth"),
        (["convert-weights", "a.pth", "b.safetensors", "--config-file", "none.yaml"], "none.yaml"),
        (["cache", "--config-file", "none.yaml", "--output", "{tmp}"], "none.yaml"),
        (
            ["data", "errors", "--dataset", "none", "--results", "none.json", "--output", "{tmp}"],
            "none",
        ),
        (["data", "convert", "cvat", "none.xml", "--output", "{tmp}/x.json"], "none.xml"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    assert exit_code([word.format(tmp=tmp_path) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert said in error


def test_the_traceback_can_be_had(capsys, monkeypatch):
    monkeypatch.setenv("HOI_D2_TRACEBACK", "1")
    assert main(["plot", "none"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_exit_codes_come_through(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound, broken = tmp_path / "sound.json", tmp_path / "broken.json"
    sound.write_text(json.dumps(MINE))
    broken.write_text("{")
    assert main(["data", "validate", str(sound)]) == 0
    assert main(["data", "validate", str(broken)]) == 1


def test_env(capsys):
    assert main(["env"]) == 0
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "loaded"),
    [
        ("import hoi_d2", set()),
        ("from hoi_d2.commands.main import main; main(['--help'])", set()),
        ("from hoi_d2.commands.main import main; main(['data', 'validate', '--help'])", {"numpy"}),
        ("from hoi_d2 import add_hoi_config", {"numpy", "torch", "detectron2"}),
    ],
)
def test_what_is_loaded(program, loaded):
    """In a process of its own: help and a bare import do not wait for torch."""
    code = (
        f"import sys\ntry:\n    {program}\nexcept SystemExit:\n    pass\n"
        "print('loaded', *({'numpy', 'torch', 'detectron2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[-1].split()[1:]) == loaded


def test_drawing_a_photograph_imports_none_of_the_slow_packages(tmp_path):
    """sympy comes with torch's compiler, which torchvision imports where nothing hinders it."""
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.jpg")
    code = (
        "import sys\nfrom hoi_d2.commands.main import main\n"
        "status = main(['demo', sys.argv[1], '--output', sys.argv[2]])\n"
        "slow = {'transformers', 'timm', 'scipy.optimize', 'matplotlib', 'sympy', 'torch._dynamo'}"
        "\n"
        "print('loaded', *sorted(slow & set(sys.modules)), status)"
    )
    arguments = [str(tmp_path / "photo.jpg"), str(tmp_path / "drawn")]
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded 0"


def test_models_are_registered_by_the_public_names():
    code = (
        "from hoi_d2 import add_hoi_config\n"
        "from detectron2.modeling import META_ARCH_REGISTRY as models\n"
        "from detectron2.data import DatasetCatalog\n"
        "print('RmLR' in models, 'hico_det_test' in DatasetCatalog.list())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("True True\n")


def test_benchmarks_know_the_datasets_that_configs_name():
    code = (
        "from hoi_d2.benchmark import infer\n"
        "from hoi_d2.commands.main import main\n"
        "from detectron2.data import DatasetCatalog\n"
        "infer.main = lambda argv: print('hico_det_train' in DatasetCatalog.list())\n"
        "main(['benchmark', 'infer'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_terminal_that_cannot_show_a_name(tmp_path):
    """The name is escaped; nothing ends with UnicodeEncodeError."""
    file = tmp_path / "mine.json"
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "\ud800\u676f\x1b[2J"}]
    wrong = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, "\u676f\ud800"], "id": 2}
    content = MINE | {"categories": categories, "annotations": [*MINE["annotations"], wrong]}
    file.write_text(json.dumps(content))
    command = [sys.executable, "-m", "hoi_d2", "data", "validate", str(file)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 1 and b"Traceback" not in done.stderr, done.stderr
    assert b"annotations[1]" in done.stdout and b"\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["demo", "--help"], 0),
        (["demo", "not_there.jpg"], 2),
        (["demo", "a.jpg", "--score-threshold", "2"], 2),
        (["export", "--help"], 0),
        (["export", "--output", "out"], 2),
    ],
)
def test_answers_that_need_no_model_do_not_wait_for_torch(arguments, code):
    program = (
        "import sys; from hoi_d2.commands.main import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'detectron2', 'transformers', 'matplotlib', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True)
    assert done.returncode == code, done.stderr


def test_options_of_the_demo_are_those_of_the_library():
    """They are written out there, because the library imports torch."""
    from hoi_d2.commands.demo import argument_parser
    from hoi_d2.demo.report import DEFAULT
    from hoi_d2.inference.open_vocabulary import OPEN_CONFIG
    from hoi_d2.inference.photo_detectors import PHOTO_DETECTORS
    from hoi_d2.inference.predictor import DEFAULT_CONFIG

    options = {action.dest: action for action in argument_parser()._actions}
    assert sorted(options["detector"].choices) == sorted(PHOTO_DETECTORS)
    said = f"default: {DEFAULT_CONFIG}; with --classes: {OPEN_CONFIG}"
    assert options["config_file"].help == said
    assert options["score_threshold"].help.endswith(f"default: {DEFAULT.score_threshold}")


def test_a_reader_that_has_read_enough_is_no_error():
    """`hoi-d2 download | head -1`."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "hoi_d2", "download"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
