"""What desktops and shells are told: media types, thumbnails, manual pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
import pytest
from helpers import memory, moving, pack, painting, sound

from nfcodec.cli.man import page
from nfcodec.cli.root import VERBS, root
from nfcodec.cli.run import run
from nfcodec.cli.session import Session
from nfcodec.errors import OutputError, OutputExistsError
from nfcodec.plugins import desktop, pillow

NAMESPACE = "{http://www.freedesktop.org/standards/shared-mime-info}"


def nfc(*args):
    return run([str(a) for a in args], Session())


def matches(node, data):
    """Whether a <match> of shared-mime-info holds, read as the specification says."""
    value = node.get("value").encode("latin-1").decode("unicode_escape").encode("latin-1")
    at = int(node.get("offset"))
    if node.get("type") == "string":
        good = data[at : at + len(value)] == value
    else:
        good = data[at] & int(node.get("mask"), 0) == int(node.get("value"))
    inner = node.findall(f"{NAMESPACE}match")
    return good and (not inner or any(matches(n, data) for n in inner))


def types_of(data):
    """The types whose magic fits, the highest priority only."""
    found = {}
    for kind in ElementTree.fromstring(desktop.content("mime")):
        magic = kind.find(f"{NAMESPACE}magic")
        if any(matches(n, data) for n in magic):
            found.setdefault(int(magic.get("priority")), []).append(kind.get("type"))
    return found[max(found)] if found else []


@pytest.mark.parametrize(
    ("kind", "samples", "expected"),
    [("image", painting(20, 20), "image/x-nfc"), ("tiny-lattice", painting(20, 20), "image/x-nfc"),
     ("audio", sound(500, 1), "audio/x-nfc"), ("video", moving(4, 12, 12), "video/x-nfc")],
)  # fmt: skip
def test_media_types_are_told_by_content(kind, samples, expected):
    source = memory("image" if kind == "tiny-lattice" else kind, samples)
    assert types_of(pack(source, kind, effort=1)[0]) == [expected]


def test_other_files_and_arrays():
    assert types_of(b"\x89PNG\r\n\x1a\n" + bytes(20)) == []
    table = Path(__file__).parents[1] / "golden" / "table.nfc"
    assert types_of(table.read_bytes()) == ["application/x-nfc"]


def test_all_types_are_by_suffix_too():
    kinds = ElementTree.fromstring(desktop.content("mime"))
    assert {k.find(f"{NAMESPACE}glob").get("pattern") for k in kinds} == {f"*{pillow.SUFFIX}"} and len(kinds) == 4
    assert pillow.MIME in [k.get("type") for k in kinds]


@pytest.mark.skipif(shutil.which("update-mime-database") is None, reason="shared-mime-info is not installed")
def test_the_types_compile(tmp_path):
    desktop.install("mime", tmp_path)
    data = {**os.environ, "XDG_DATA_DIRS": str(tmp_path)}
    ran = subprocess.run(
        ["update-mime-database", tmp_path / "mime"], capture_output=True, text=True, check=True, env=data
    )
    assert ran.stderr == "" and (tmp_path / "mime" / "image" / "x-nfc.xml").exists()


def test_the_thumbnailer_calls_a_command_that_exists(tmp_path, monkeypatch):
    lines = dict(line.split("=", 1) for line in desktop.content("thumbnailer").decode().splitlines()[1:])
    assert lines["MimeType"].split(";")[:2] == ["image/x-nfc", "video/x-nfc"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "o.png").write_bytes(b"")  # desktops make the file first
    values = {"%i": str(Path(__file__).parents[1] / "golden" / "rgb.nfc"), "%o": "o.png", "%s": "64"}
    command, *args = [values.get(word, word) for word in lines["Exec"].split()]
    assert command == lines["TryExec"] == "nfc"
    parent = click.Context(root, **root.context_settings)
    context = root.get_command(parent, args[0]).make_context("thumb", args[1:], parent)
    assert (context.params["size"], context.params["force"], context.params["output"]) == (64, True, "o.png")


def test_integrate_writes_both_files(tmp_path, capsys):
    for _ in range(2):  # once more changes nothing
        assert nfc("integrate", "-d", tmp_path / "share") == 0
        assert "update-mime-database" in capsys.readouterr().err
    found = sorted(str(p.relative_to(tmp_path / "share")) for p in tmp_path.rglob("*") if p.is_file())
    assert found == sorted(desktop.PIECES.values())
    for piece, place in desktop.PIECES.items():
        assert nfc("integrate", "--print", piece) == 0
        assert capsys.readouterr().out.encode() == (tmp_path / "share" / place).read_bytes()


def test_what_was_changed_is_kept(tmp_path):
    place = tmp_path / desktop.PIECES["thumbnailer"]
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    with pytest.raises(OutputExistsError):
        desktop.install("thumbnailer", tmp_path)
    assert place.read_text() == "mine"
    desktop.install("thumbnailer", tmp_path, force=True)
    assert place.read_bytes() == desktop.content("thumbnailer")


def test_folders_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "mime").write_text("a file")
    with pytest.raises(OutputError, match="cannot make the folder"):
        desktop.install("mime", tmp_path)
    assert nfc("integrate", "-d", tmp_path) == 1 and "update-mime" not in capsys.readouterr().err


@pytest.mark.parametrize("args", [(), ("--print", "mime", "-d", "x"), ("--print", "icon"), ("-d", "")])
def test_wrong_uses_of_integrate(args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert nfc("integrate", *args) == 2 and not any(tmp_path.iterdir())


# -- manual pages ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("verb", [None, *VERBS])
def test_pages(verb):
    """Every option stands there, and the language is that of man."""
    text = page(verb)
    name = "nfc" if verb is None else f"nfc-{verb}"
    assert text.startswith(f'.TH "{name.upper()}" "1"') and text.index(".SH NAME") < text.index(".SH SYNOPSIS")
    assert rf"{name} \- ".replace("-", r"\-").replace(r"\\-", r"\-") in text
    assert all(re.match(r"\.(TH|SH|B|PP|TP|nf|fi)( |$)", line) for line in text.splitlines() if line.startswith("."))
    assert "\b" not in text and text.isascii() and r"\fB\-h, \-\-help\fR" in text
    if groff := shutil.which("groff"):
        ran = subprocess.run(
            [groff, "-man", "-Tascii", "-ww", "-z"], input=text, capture_output=True, text=True, check=True
        )
        assert ran.stderr == ""


def test_pages_say_what_help_says():
    text = page("encode")
    assert r"\fB\-q, \-\-quality 0..100\fR" in text and "[default: 75]" in text
    assert ".SH EXAMPLES\n.nf\n" in text and r"nfc encode photo.png" in text and ".SH EXIT CODES" in page(None)
    assert all(rf"\fBnfc\-{verb}\fR(1)" in page(None) for verb in VERBS)
    assert ".SH NOTES\nExit code 4" in page("verify")


def test_a_verb_with_verbs_of_its_own(monkeypatch):
    @click.group("many", help="Do many things.", epilog="One sentence.")
    def many():
        pass

    many.command("one", help="Do it. Not shown.")(lambda: None)
    monkeypatch.setattr(type(root), "get_command", lambda self, ctx, name: many)
    text = page("many")
    assert ".SH COMMANDS\n.TP\n\\fBnfc many one\\fR\nDo it.\n.SH NOTES\nOne sentence." in text


def test_all_pages_are_written(tmp_path, capsys):
    assert nfc("man", "-o", tmp_path / "man1") == 0
    assert sorted(p.name for p in (tmp_path / "man1").iterdir()) == sorted(["nfc.1", *(f"nfc-{v}.1" for v in VERBS)])
    assert (tmp_path / "man1" / "nfc-decode.1").read_text() == page("decode")
    capsys.readouterr()
    assert nfc("man", "decode") == 0 and capsys.readouterr().out == page("decode")


def test_wrong_uses_of_man(tmp_path, capsys):
    assert nfc("man", "fly") == 2 and nfc("man", "encode", "-o", tmp_path) == 2 and nfc("man", "-o", "") == 2
    assert not any(tmp_path.iterdir())
    (tmp_path / "nfc.1").write_text("mine")
    assert nfc("man", "-o", tmp_path) == 1 and (tmp_path / "nfc.1").read_text() == "mine"
    assert nfc("man", "-o", tmp_path / "nfc.1") == 2
    assert nfc("man", "-o", tmp_path, "-f") == 0 and (tmp_path / "nfc.1").read_text() == page(None)
