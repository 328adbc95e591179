"""Wrong usage: exit code 2, one line that says what, one that says where to look, and nothing done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .conftest import Nfc, save_picture


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("enocde x", "no such command 'enocde'. Did you mean 'encode'?"),
        ("zzz", "The commands are encode, decode"),
        ("encode --qualty 5 photo.png", "Did you mean '--quality'?"),
        ("encode", "missing argument 'IN...'"),
        ("encode photo.png -q 101", "quality 101 is outside 0…100"),
        ("encode photo.png -q high", "'high' is not a valid integer"),
        ("encode photo.png -e 0", "effort 0 is outside 1…9"),
        ("encode photo.png --strip icc,all", "cannot strip 'all'"),
        ("encode photo.png --threads 0", "--threads"),
        ("encode photo.png --field wavelet", "'wavelet' is not one of 'lattice', 'siren'"),
        ("encode photo.png --bpp 0", "'0' is not a number of bits per pixel; an example is 0.5"),
        ("encode photo.png --bpp nan", "'nan' is not a number of bits per pixel"),
        ("encode photo.png --target-size 50q", "'50q' is not a file size; an example is 50000, 50k or 1.5M"),
        ("encode photo.png --target-size -5", "'-5' is not a file size"),
        ("encode photo.png --target-psnr 36dB", "'36dB' is not a PSNR in dB; an example is 36"),
        ("encode photo.png --max-time soon", "'soon' is not a time; an example is 60 (seconds) or 1:30"),
        ("encode photo.png -q 75 --bpp 1", "--quality and --bpp exclude each other"),
        ("encode photo.png --quality 60 --target-size 5k", "--quality and --target-size exclude each other"),
        ("encode photo.png -q 60 --target-psnr 30", "--quality and --target-psnr exclude each other"),
        ("encode photo.png --bpp 1 --target-psnr 30", "--bpp and --target-psnr exclude each other"),
        ("encode photo.png -f --skip-existing", "exclude each other"),
        ("encode photo.png -o a -d b", "exclude each other"),
        ("encode photo.png other.png -o a.nfc", "-d DIR takes them all"),
        ("encode photo.png photo.jpg", "photo.png and photo.jpg would both be written"),
        ("encode photo.png ./photo.png", "would both be written"),
        ("encode a/x.png b/x.wav -d out", "would both be written"),
        ("decode a/x.nfc b/x.nfc -d out", "would both be written"),
        ("encode photo.png -o photo.png -f", "would be replaced by its own output"),
        ("encode photo.nfc -f", "would be replaced by its own output"),
        ("encode photo.png -o folder", "-d writes into a folder"),
        ("encode .", "no output name can be derived"),
        ("encode - -", "standard input can be read only once"),
        ("encode - photo.png", "standard input must be the only input"),
        ("encode - -d out", "standard input must be the only input"),
        ("decode photo.nfc --size 100", "'100' is not a size; an example is"),
        ("decode photo.nfc --crop 1,2", "is not a crop"),
        ("decode photo.nfc --crop 0,0,0,5", "is empty"),
        ("decode photo.nfc --time 1:2:3", "is not a time range"),
        ("decode photo.nfc --time 3:1", "is empty"),
        ("decode photo.nfc --scale 2 --size 5x", "scale and size exclude each other"),
        ("decode photo.nfc --scale nan", "scale must be positive"),
        ("decode photo.nfc --fps -1", "fps must be positive"),
        ("completion tcsh", "'tcsh'"),
        ("compare photo.png", "missing argument 'B'"),
    ],
)
def test_wrong_usage(nfc: Nfc, tmp_path: Path, args: str, words: str) -> None:
    save_picture(tmp_path / "photo.png")
    (tmp_path / "folder").mkdir()
    ran = nfc(*args.split(" "))
    first, second = ran.err.splitlines()
    assert ran.code == 2 and ran.out == ""
    assert first.startswith("nfc: ") and words in first
    assert second.startswith("try 'nfc") and second.endswith("--help'")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "photo.png"]


@pytest.mark.parametrize("option", [(), ("-o", ""), ("-d", "")])
def test_empty_names(nfc: Nfc, photo: Path, option: tuple[str, ...]) -> None:
    ran = nfc("encode", "photo.png" if option else "", *option)
    assert ran.code == 2 and "name is empty" in ran.err


def test_no_arguments_show_the_help(nfc: Nfc) -> None:
    ran = nfc()
    assert ran.code == 2 and ran.out == "" and ran.err.startswith("Usage: nfc")


def test_terminals_take_and_give_no_binary_data(nfc: Nfc, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert "standard input is a terminal" in nfc("encode", "-").err
    monkeypatch.undo()
    monkeypatch.chdir(photo.parent)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ran = nfc("encode", "photo.png", "-o", "-")
    assert ran.code == 2 and "binary data is not written to a terminal" in ran.err


def test_an_output_folder_that_cannot_be(nfc: Nfc, photo: Path) -> None:
    ran = nfc("encode", "photo.png", "-d", "photo.png/sub")
    assert ran.code == 1 and ran.err.startswith("nfc: cannot make the folder photo.png/sub: ")


def test_a_signal_that_is_a_usage_matter_of_one_item(nfc: Nfc, coded: Path) -> None:
    from .conftest import INIT

    ran = nfc("decode", "photo.nfc", *INIT, "-o", "x.png", "--crop", "100,100,5,5")
    assert ran.code == 2 and not Path("x.png").exists()
    ran = nfc("decode", "photo.nfc", *INIT, "--format", "wav")
    assert ran.code == 1 and "wav cannot hold this image" in ran.err
