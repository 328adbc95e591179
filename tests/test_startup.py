"""What is loaded, by what: decoding runs without torch, and refusing without anything heavy.

Processes of their own, since this one has loaded everything long ago. No times: what is not imported takes none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import encode, init, moving, painting, save_frames, save_picture, save_sound, sound

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden"
HEAVY = ("torch", "numpy", "PIL", "constriction", "safetensors", "soundfile", "scipy", "tqdm")
KINDS = {"rgb": "image", "rgba": "image", "grey16": "masked", "stereo": "audio", "clip": "video", "table": "image"}
KINDS |= {"lattice": "tiny-lattice", "drawn": "tiny-lattice", "tall": "tiny-lattice", "shipped": "photo-lattice"}


def run(code, *args):
    """Run Python code in a process of its own: what it prints, and which of HEAVY it has loaded."""
    tail = f"\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    command = [sys.executable, "-c", f"import json, sys\n{code}{tail}", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    *printed, loaded = done.stdout.splitlines()
    return printed, json.loads(loaded), done.stderr


COMMAND = """
from nfcodec.cli.run import run
from nfcodec.cli.session import Session
print(run(sys.argv[1:], Session()))
"""


def nfc(*args):
    """An nfc command in a process of its own: exit code, what it has loaded, standard error."""
    printed, loaded, error = run(COMMAND, *args)
    return int(printed[-1]), loaded, error


# -- decoding --------------------------------------------------------------------------------------------
SUFFIX = {"stereo": "wav", "clip": "gif", "table": "npy"}


@pytest.mark.parametrize("name", KINDS)
def test_decoding_loads_no_torch(tmp_path, name):
    output = tmp_path / f"a.{SUFFIX.get(name, 'png')}"
    code, loaded, error = nfc("decode", GOLDEN / f"{name}.nfc", "-o", output, "--init", init(KINDS[name]))
    assert code == 0 and output.stat().st_size, error
    assert "torch" not in loaded and "numpy" in loaded


@pytest.mark.parametrize("options", [["--scale", "2"], ["--scale", "0.3"], ["--size", "9x40"], ["--crop", "3,2,9,8"]])
@pytest.mark.parametrize("name", ["rgb", "shipped", "drawn"])
def test_other_sizes_load_no_torch(tmp_path, name, options):
    output = tmp_path / "a.png"
    code, loaded, error = nfc("decode", GOLDEN / f"{name}.nfc", "-o", output, "--init", init(KINDS[name]), *options)
    assert code == 0 and "torch" not in loaded, error


def test_other_verbs_load_no_torch(tmp_path):
    file = GOLDEN / "shipped.nfc"
    for args in (
        ["thumb", file, "-o", tmp_path / "t.png", "--size", "12"], ["verify", file], ["compare", file, file],
        ["models"],
    ):  # fmt: skip
        code, loaded, error = nfc(*args)
        assert code == 0 and "torch" not in loaded, error
    assert nfc("info", file) == (0, [], "")


PYTHON = {
    "sample": "import nfcodec\nwith nfcodec.open(sys.argv[1]) as f: print(f.sample([[0.0, 0.1]]).shape)",
    "array": "import nfcodec\nprint(nfcodec.decode_array(sys.argv[1]).shape)",
    "pillow": "import nfcodec.pillow\nfrom PIL import Image\nprint(Image.open(sys.argv[1]).convert('L').size)",
    "draft": "import nfcodec.pillow\nfrom PIL import Image\ni = Image.open(sys.argv[1])\ni.thumbnail((5, 5))\nprint(1)",
    "namespace": "import numpy as np\nfrom nfcodec.arrays import namespace\nprint(namespace(np.zeros(1)) is np)",
}


@pytest.mark.parametrize("use", PYTHON)
def test_python_loads_no_torch(use):
    printed, loaded, _ = run(PYTHON[use], GOLDEN / "shipped.nfc")
    assert printed and "torch" not in loaded
    if use == "namespace":
        assert printed == ["True"]


def test_starting_to_decode_loads_no_part_of_numpy_that_it_does_not_need(tmp_path):
    code = COMMAND.replace("print(", "code = ", 1).replace("Session()))", "Session())") + (
        "\nprint(code, [m for m in ('numpy.ma', 'numpy.testing', 'numpy.f2py', 'array_api_compat', 'email')"
        " if m in sys.modules])"
    )
    printed, _, _ = run(code, "decode", GOLDEN / "shipped.nfc", "-o", tmp_path / "a.png")
    assert printed[-1] == "0 []"


# -- encoding --------------------------------------------------------------------------------------------
def test_encoding_does_load_torch(tmp_path):
    """Or these tests could not fail."""
    code, loaded, _ = nfc("encode", save_picture(tmp_path / "a.png", painting(9, 9)), "-e", "1")
    assert code == 0 and "torch" in loaded


def test_a_damaged_picture_is_refused_before_torch_is_loaded(tmp_path):
    path = save_picture(tmp_path / "a.png", painting(9, 9))
    path.write_bytes(path.read_bytes()[:20])
    code, loaded, error = nfc("encode", path)
    assert code == 1 and "torch" not in loaded and "a.png" in error


# -- refusals --------------------------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path):
    (tmp_path / "text.txt").write_text("no picture\n")
    (tmp_path / "empty").touch()
    (tmp_path / "there.png").touch()
    (tmp_path / "shipped.png").touch()
    (tmp_path / "shipped.nfc").write_bytes((GOLDEN / "shipped.nfc").read_bytes())
    (tmp_path / "half.nfc").write_bytes((GOLDEN / "shipped.nfc").read_bytes()[:9])
    return tmp_path


REFUSED = [
    (["decode", "nope.nfc"], "No such file"), (["decode", "text.txt"], "signature"), (["decode", "empty"], "empty"),
    (["decode", "."], "directory"), (["decode", "half.nfc"], "half.nfc"),
    (["decode", "shipped.nfc", "-o", "shipped.png"], "exists"),
    (["decode", "shipped.nfc", "-o", "there.png"], "exists"), (["decode", "shipped.nfc", "-o", "a.xyz"], "unknown"),
    (["decode", "shipped.nfc", "-o", "a.wav"], "cannot hold"),
    (["decode", "shipped.nfc", "--format", "mp3"], "unknown"),
    (["decode", "shipped.nfc", "-o", "no/a.png"], "does not exist"), (["info", "nope"], "No such file"),
    (["info", "text.txt"], "signature"), (["verify", "nope"], "No such file"), (["verify", "empty"], "empty"),
    (["thumb", "nope", "-o", "a.png"], "No such file"), (["thumb", "shipped.nfc", "-o", "there.png"], "exists"),
    (["thumb", "text.txt", "-o", "a.png"], "signature"), (["compare", "nope", "shipped.nfc"], "No such file"),
    (["compare", "shipped.nfc", "empty"], "empty"), (["encode", "nope"], "No such file"),
    (["encode", "text.txt"], "no known"), (["encode", "empty"], "empty"),
    (["encode", "there.png", "-o", "shipped.nfc"], "exists"), (["encode", "nope", "--threads", "2"], "No such file"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "words"), REFUSED, ids=[" ".join(a) for a, _ in REFUSED])
def test_refusals_load_nothing_heavy(folder, args, words):
    known = {p.name for p in folder.iterdir()} | {"nope", "nope.nfc", ".", "no/a.png", "a.png", "a.xyz", "a.wav"}
    code, loaded, error = nfc(*(folder / a if a in known else a for a in args))
    assert code in (1, 4) and words in error, error
    assert loaded == []


def test_training_is_refused_before_torch_is_loaded(tmp_path):
    code, loaded, _ = nfc("train", tmp_path, "-o", tmp_path / "i.safetensors", "--config", tmp_path / "nope.toml")
    assert code == 2 and "torch" not in loaded


def test_files_of_today_load_no_torch(tmp_path):
    """The files above are golden ones; what an encoder makes now decodes without torch as well."""
    made = [
        (save_picture(tmp_path / "p.png", painting(9, 9)), "tiny-lattice", "png"),
        (save_sound(tmp_path / "s.wav", sound(200, 1)), "audio", "wav"),
        (save_frames(tmp_path / "v.mkv", moving(3, 16, 16)), "video", "gif"),
    ]
    for source, kind, suffix in made:
        encode(source, kind, tmp_path / "a.nfc", effort=1)
        output = tmp_path / f"a.{suffix}"
        code, loaded, error = nfc("decode", tmp_path / "a.nfc", "-o", output, "--init", init(kind))
        assert code == 0 and "torch" not in loaded, error
