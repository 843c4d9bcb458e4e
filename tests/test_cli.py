"""`hoi-d2`: every command is there, says an example, and runs the code of `tools/`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hoi_d2.cli import COMMANDS, DATA_COMMANDS, main, tools_folder

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


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["--help"], 0), (["data"], 2), (["data", "-h"], 0), (["fly"], 2)],
)
def test_usage(arguments, code, capsys):
    assert main(arguments) == code
    printed = "".join(capsys.readouterr())
    name, commands = ("hoi-d2 data", DATA_COMMANDS) if "data" in arguments else ("hoi-d2", COMMANDS)
    for word, command in commands.items():
        assert f"{name} {word} {command.example}".rstrip() in printed


def test_the_contract():
    assert {"demo", "train", "eval", "data", "export", "benchmark", "env"} <= set(COMMANDS)


@pytest.mark.parametrize(
    "file",
    [c.target for c in (*COMMANDS.values(), *DATA_COMMANDS.values()) if c.target.endswith(".py")],
)
def test_tools_are_there(file):
    assert (tools_folder() / file).is_file()


def test_exit_codes_of_tools_come_through(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound, broken = tmp_path / "sound.json", tmp_path / "broken.json"
    sound.write_text(json.dumps(MINE))
    broken.write_text("{")
    assert main(["data", "validate", str(sound)]) == 0
    assert main(["data", "validate", str(broken)]) == 1
    assert main(["data", "validate"]) == 2
    assert "usage: hoi-d2 data validate" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "train", "eval", "export", "benchmark"])
def test_help(command, capsys):
    try:
        code = main([command, "--help"])
    except SystemExit as end:
        code = end.code
    assert code == 0
    assert "--config-file" in capsys.readouterr().out


def test_env(capsys):
    assert main(["env"]) == 0
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "loads_torch"),
    [(["--help"], False), (["data", "validate", "--help"], False), (["train", "--help"], True)],
)
def test_the_console_command_loads_what_a_command_needs(arguments, loads_torch):
    """In a process of its own, with nothing left behind for the processes that it starts."""
    program = f"""
import os, sys, hoi_d2_command
sys.argv = ["hoi-d2", *{arguments}]
try:
    code = hoi_d2_command.main()
except SystemExit as end:
    code = end.code
assert not code, code
assert "HOI_D2_SKIP_REGISTRATION" not in os.environ
print("modules", "torch" in sys.modules, "hoi_d2.modeling" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.endswith(f"modules {loads_torch} {loads_torch}\n"), done.stdout + done.stderr
