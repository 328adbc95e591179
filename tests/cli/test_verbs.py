"""Every verb, run in this process."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import init
from PIL import Image

from nfcodec import api, zoo
from nfcodec.cli import progress
from nfcodec.cli.root import VERBS
from nfcodec.cli.session import Session
from nfcodec.errors import OptionError, OutputError
from nfcodec.lattice.context import Context
from nfcodec.options import CompareResult, DecodeResult, EncodeOptions, EncodeResult, FileInfo, ModelInfo, VerifyResult

from .conftest import INIT, Nfc, save_noise, save_picture

FAST = ("-e", "1", *INIT)


def names(cls: Any) -> set[str]:
    return {f.name for f in dataclasses.fields(cls)}


# -- encode and decode -----------------------------------------------------------------------------------
def test_encode_then_decode(nfc: Nfc, photo: Path) -> None:
    ran = nfc("encode", "photo.png", *FAST)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("photo.png → photo.nfc  ") and ran.err.count("\n") == 1 and " dB  " in ran.err
    ran = nfc("decode", "photo.nfc", "-o", "back.png", *INIT)
    assert (ran.code, ran.out) == (0, "") and "24×20" in ran.err
    with Image.open("back.png") as back:
        assert back.size == (24, 20)
    assert sorted(p.name for p in Path().iterdir()) == ["back.png", "photo.nfc", "photo.png"]


def test_quality_reaches_the_encoder(nfc: Nfc, photo: Path) -> None:
    low, high = (nfc("encode", "photo.png", *FAST, "-f", "-q", q, "--json").objects[0] for q in ("10", "90"))
    assert (low["quality"], high["quality"], low["effort"]) == (10, 90, 1)
    assert low["bytes"] < high["bytes"]


def test_defaults_are_those_of_the_library(nfc: Nfc, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def fake(source: Any, output: Any, **named: Any) -> EncodeResult:
        seen.update(named)
        return EncodeResult(source, output, 1, 1, 1.0, "bpp", 1.0, None, 1.0, "i", 1, 1, ("one thing", "another"))

    monkeypatch.setattr(api, "encode", fake)
    ran = nfc("encode", "photo.png")
    assert seen["options"] == EncodeOptions() and seen["force"] is False and seen["progress"] is None
    assert ran.err.startswith("nfc: photo.png: warning: one thing\nnfc: photo.png: warning: another\nphoto.png → ")
    nfc("encode", "photo.png", "--strip", "icc,exif", "--strip", "tags", "--no-verify", "--threads", "1")
    assert seen["options"] == EncodeOptions(strip=frozenset({"icc", "exif", "tags"}), verify=False)


def test_targets_reach_the_encoder(nfc: Nfc, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[EncodeOptions] = []

    def fake(source: Any, output: Any, *, options: EncodeOptions, **named: Any) -> EncodeResult:
        seen.append(options)
        return EncodeResult(source, output, 1, 1, 1.0, "bpp", 1.0, None, 1.0, "i", 1, 1)

    monkeypatch.setattr(api, "encode", fake)
    for args, expected in (
        (("--bpp", "0.5"), EncodeOptions(bpp=0.5)),
        (("--target-size", "50kB", "--field", "siren"), EncodeOptions(target_size=50000, field="siren")),
        (("--target-psnr", "36"), EncodeOptions(target_psnr=36.0)),
        (("-q", "20", "--max-time", "1:30"), EncodeOptions(quality=20, max_time=90.0)),
        (("--field", "lattice", "--max-time", "0.5"), EncodeOptions(field="lattice", max_time=0.5)),
    ):
        assert nfc("encode", "photo.png", *args).code == 0
        assert seen.pop() == expected


@pytest.mark.parametrize("name", ["tiny-lattice", "image"])
def test_targets(nfc: Nfc, photo: Path, name: str) -> None:
    """Targets are met by the file on disk; one out of reach gives a file and a warning."""
    args = ("encode", "photo.png", "-e", "1", "--init", init(name), "-f")
    assert nfc(*args, "--target-size", "200").code == 0
    assert Path("photo.nfc").stat().st_size <= 200
    assert nfc(*args, "--bpp", "4", "--json").objects[0]["bytes"] <= 240
    assert nfc(*args, "--target-psnr", "22", "--json").objects[0]["psnr"] >= 22
    ran = nfc(*args, "--target-size", "20")
    size = Path("photo.nfc").stat().st_size
    warning = f"the target of 20 bytes cannot be met: the smallest possible file has {size} bytes"
    assert ran.code == 0 and ran.err.startswith(f"nfc: photo.png: warning: {warning}\n")
    assert nfc(*args, "--target-size", "20", "--json").objects[0]["warnings"] == [warning]


def test_fields(nfc: Nfc, photo: Path) -> None:
    for name, kind in (("tiny-lattice", "lattice"), ("image", "siren")):
        args = ("-e", "1", "--init", init(name), "-f")
        assert nfc("encode", "photo.png", *args, "--field", kind).code == 0
        assert f"  coding    {kind}, quality 75, init" in nfc("info", "photo.nfc").out
        assert nfc("info", "photo.nfc", "--json").objects[0]["field"] == kind
        other = {"siren": "lattice", "lattice": "siren"}[kind]
        ran = nfc("encode", "photo.png", *args, "--field", other)
        assert ran.code == 2 and f"is of the field {kind}, not {other}" in ran.err
    save_noise(Path("large.png"))
    assert nfc("encode", "large.png", "-e", "1", "--init", init("tiny-lattice")).code == 0
    (about,) = nfc("info", "large.nfc", "--json").objects
    assert [s["layers"] for s in about["sections"]] == [[1], [2], [3]]


def test_truncated_files(nfc: Nfc, tmp_path: Path) -> None:
    save_noise(tmp_path / "a.png")
    lattice = ("--init", init("tiny-lattice"))
    assert nfc("encode", "a.png", "-e", "1", *lattice).code == 0
    (about,) = nfc("info", "a.nfc", "--json").objects
    last = about["sections"][-1]["bytes"]
    data = Path("a.nfc").read_bytes()
    errors = []
    for name, length, words in (
        ("b.nfc", len(data) - 1, "2 of 3 layers are there"), ("c.nfc", len(data) - last - 1, "1 of 3 layers are there"),
        ("d.nfc", 40, "0 of 3 layers are there"),
    ):  # fmt: skip
        Path(name).write_bytes(data[:length])
        for verb in ("decode", "verify", "info"):
            ran = nfc(verb, name, *(lattice if verb != "info" else ()))
            assert ran.code == 4 and ("--partial" in ran.err) == (verb == "decode")
        assert not Path(name).with_suffix(".png").exists()
        ran = nfc("decode", name, *lattice, "--partial")
        assert ran.code == 0 and ran.err.startswith(f"nfc: {name}: warning: the file is truncated: {words}\n")
        errors.append(nfc("compare", "a.png", str(Path(name).with_suffix(".png")), "--json").objects[0]["psnr"])
    assert errors[0] > errors[1] > errors[2]
    ran = nfc("decode", "a.nfc", *lattice, "--partial", "-o", "whole.png")
    assert ran.code == 0 and "warning" not in ran.err
    Path("head.nfc").write_bytes(data[:12])
    for more in ((), ("--partial",)):
        ran = nfc("decode", "head.nfc", *lattice, *more)
        assert ran.code == 4 and "--partial" not in ran.err


def test_decode_options_reach_the_decoder(nfc: Nfc, coded: Path) -> None:
    size = nfc("decode", "photo.nfc", *INIT, "--size", "x40", "-o", "a.png", "--json").objects[0]["shape"]
    part = nfc("decode", "photo.nfc", *INIT, "--crop", "4,2,8,6", "--scale", "1.5", "-o", "b.webp", "--json")
    assert size == [40, 48] and part.objects[0]["shape"] == [9, 12]
    assert nfc("decode", "photo.nfc", *INIT, "--format", ".NPY", "-d", "out/deep").code == 0
    assert np.load("out/deep/photo.npy").shape == (20, 24, 3)


@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_existing_outputs(nfc: Nfc, photo: Path, coded: Path, verb: str) -> None:
    source, output, more = {"encode": (photo, coded, FAST), "decode": (coded, photo, INIT)}[verb]
    output.write_bytes(b"precious")
    name = () if verb == "encode" else ("-o", output.name)
    ran = nfc(verb, source.name, *more, *name)
    assert ran.code == 1 and f"nfc: {source.name}: {output.name} exists already\n  -f " in ran.err
    ran = nfc(verb, source.name, *more, "--skip-existing")
    assert ran.code == 0 and "skipped" in ran.err
    assert output.read_bytes() == b"precious"
    (skipped,) = nfc(verb, source.name, *more, "--skip-existing", "--json").objects
    assert skipped["ok"] is True and skipped["skipped"] is True and skipped["input"] == source.name
    assert nfc(verb, source.name, *more, "-f", *name).code == 0
    assert output.read_bytes() != b"precious"


@pytest.mark.parametrize("more", [(), ("-f",), ("--format", "png"), ("-f", "--format", "PNG")])
def test_decoding_leaves_originals_alone(nfc: Nfc, photo: Path, coded: Path, more: tuple[str, ...]) -> None:
    before = photo.read_bytes()
    ran = nfc("decode", coded.name, *INIT, *more)
    told = "nfc: photo.nfc: warning: photo.png exists already, so the output is photo.decoded.png\n"
    assert ran.code == 0 and ran.err.startswith(f"{told}photo.nfc → photo.decoded.png  ")
    assert photo.read_bytes() == before and Path("photo.decoded.png").exists()


@pytest.mark.parametrize("verb", ["encode", "decode", "info", "verify"])
def test_urls_are_for_batches(nfc: Nfc, verb: str) -> None:
    ran = nfc(verb, "s3://bucket/photo.png")
    assert ran.code == 2 and "s3://bucket/photo.png is a URL" in ran.err and "nfc batch" in ran.err


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_the_file_of_standard_output_points_to_the_dash(nfc: Nfc, photo: Path, name: str) -> None:
    ran = nfc("encode", "photo.png", *FAST, "-o", name)
    assert ran.code == 1 and f"cannot write {name}" in ran.err and "-o - writes to standard output" in ran.err


def test_folders_that_are_no_sequence_point_to_batches(nfc: Nfc, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    save_picture(tmp_path / "photos" / "a.png")
    ran = nfc("encode", "photos")
    assert ran.code == 1 and "not plainly a sequence of frames" in ran.err and "nfc batch photos -d OUT" in ran.err


def test_no_verb(nfc: Nfc, photo: Path) -> None:
    ran = nfc("photo.png", *FAST)
    assert ran.code == 0 and ran.err.startswith("nfc: photo.png: no verb given, so: encode\n")
    ran = nfc("photo.nfc", "-o", "a.png", *INIT)
    assert ran.code == 0 and ran.err.startswith("nfc: photo.nfc: no verb given, so: decode\n")
    Path("photo.nfc").rename("disguised")
    ran = nfc("disguised", "-o", "b.png", *INIT)
    assert ran.code == 0 and "decode" in ran.err
    ran = nfc("missing.png")
    assert ran.code == 1 and "cannot read missing.png: No such file" in ran.err


@pytest.mark.parametrize("name", ["🐾.png", "-x.png", "a b.tar.png", "ünï;$(x).PNG"])
def test_names(nfc: Nfc, tmp_path: Path, name: str) -> None:
    save_picture(tmp_path / name)
    ran = nfc("encode", *FAST, "--", name)
    target = name[:-4] + ".nfc"
    assert ran.code == 0 and Path(target).is_file() and target in ran.err
    assert nfc("--", name).code == 1  # no option can follow here; that the name was taken for a file is the point
    assert nfc("verify", *INIT, "--", target).code == 0


# -- several inputs --------------------------------------------------------------------------------------
def test_a_failure_does_not_stop_the_others(nfc: Nfc, photo: Path, tmp_path: Path) -> None:
    save_picture(tmp_path / "last.png", seed=1)
    Path(tmp_path / "empty.png").touch()
    ran = nfc("encode", "photo.png", "missing.png", "empty.png", "last.png", "-d", "out", *FAST, "--json")
    assert ran.code == 1 and ran.err == ""
    assert [o["ok"] for o in ran.objects] == [True, False, False, True]
    assert set(ran.objects[0]) == {"ok", *names(EncodeResult)}
    assert set(ran.objects[1]) == {"ok", "input", "error", "message", "hint", "exit_code"}
    assert (ran.objects[1]["error"], ran.objects[1]["exit_code"]) == ("MediaReadError", 1)
    assert sorted(p.name for p in Path("out").iterdir()) == ["last.nfc", "photo.nfc"]


def test_damage_is_exit_code_4(nfc: Nfc, photo: Path, coded: Path) -> None:
    data = bytearray(coded.read_bytes())
    data[len(data) // 2] ^= 0xFF
    Path("damaged.nfc").write_bytes(data)
    Path("short.nfc").write_bytes(coded.read_bytes()[:-5])
    Path("empty.nfc").touch()
    for name in ("damaged.nfc", "short.nfc", "empty.nfc", "photo.png"):
        ran = nfc("verify", name, *INIT)
        assert ran.code == 4 and ran.err.startswith("nfc: ") and name in ran.err, ran.err
        assert nfc("decode", name, *INIT, "-o", "never.png").code == 4
    assert nfc("verify", "photo.nfc", "damaged.nfc", "short.nfc", *INIT).code == 4
    assert nfc("verify", "photo.nfc", "damaged.nfc", "missing.nfc", *INIT).code == 1
    assert nfc("info", "missing.nfc").code == 1
    assert not Path("never.png").exists()


# -- the other verbs -------------------------------------------------------------------------------------
def test_info(nfc: Nfc, coded: Path) -> None:
    ran = nfc("info", "photo.nfc")
    assert ran.code == 0 and ran.err == "" and "image, 24×20, 3 channels, u8" in ran.out
    (data,) = nfc("info", "photo.nfc", "--json").objects
    assert set(data) == {"ok", *names(FileInfo)} and data["shape"] == [20, 24]


def test_verify(nfc: Nfc, coded: Path) -> None:
    ran = nfc("verify", "photo.nfc", *INIT)
    assert (ran.code, ran.out) == (0, "") and ran.err.startswith("photo.nfc: good  ")
    (data,) = nfc("verify", "photo.nfc", *INIT, "--json").objects
    assert set(data) == {"ok", *names(VerifyResult)} and len(data["digest"]) == 64
    ran = nfc("verify", "photo.nfc")
    assert ran.code == 1 and "--init PATH" in ran.err


def test_compare(nfc: Nfc, photo: Path, tmp_path: Path) -> None:
    other = save_picture(tmp_path / "other.png", seed=1)
    ran = nfc("compare", "photo.png", other.name)
    assert ran.code == 0 and ran.err == "" and ran.out.startswith("PSNR ")
    (data,) = nfc("compare", "photo.png", "photo.png", "--json").objects
    assert set(data) == {"ok", *names(CompareResult)} and data["psnr"] is None and data["max_error"] == 0
    assert nfc("compare", "photo.png", "missing.png").code == 1
    save_picture(tmp_path / "larger.png", 30, 30)
    assert "cannot compare" in nfc("compare", "photo.png", "larger.png").err


def test_models(nfc: Nfc) -> None:
    ids = list(zoo.index()["inits"])
    ran = nfc("models")
    assert ran.code == 0 and [line.split()[0] for line in ran.out.splitlines()] == ids
    assert [set(o) for o in nfc("models", "--json").objects] == [{"ok", *names(ModelInfo)}] * len(ids)


@pytest.mark.skipif(not zoo.index()["inits"], reason="no init is shipped yet")
def test_shipped_inits_are_the_default(nfc: Nfc, photo: Path) -> None:
    (done,) = nfc("encode", "photo.png", "-e", "1", "--json").objects
    assert done["init"] == zoo.index()["defaults"]["image"]
    assert nfc("info", "photo.nfc", "--json").objects[0]["init"] == done["init"]
    assert nfc("decode", "photo.nfc", "-o", "b.png").code == 0
    assert nfc("compare", "photo.png", "photo.nfc").code == 0


def test_train(nfc: Nfc, monkeypatch: pytest.MonkeyPatch) -> None:
    from nfcodec.train.running import Report

    seen: list[Any] = []
    clock = [1000.0]
    for name in ("tqdm.std.time", "time.monotonic"):
        monkeypatch.setattr(name, lambda: clock[0])

    def fake(data: tuple[str, ...], output: str, *, report: Any = None, **named: Any) -> ModelInfo:
        seen.append((data, output, named))
        for step in (1, 2, 300):
            if report:
                clock[0] += 1.0  # tqdm draws ten times a second
                report(Report(step, 300, 0.01234, 31.2, 0.456, 3725.0))
        return ModelInfo("mine", "image", "siren", "ab" * 32, 1000, 2000, 1500, output, False)

    monkeypatch.setattr(api, "train", fake)
    ran = nfc("train", "photos", "-o", "mine.safetensors", "--config", "c.toml", "--threads", "1")
    named = {"config": "c.toml", "checkpoint": None, "device": "cpu", "begin": None, "minutes": None, "force": False}
    assert seen == [(("photos",), "mine.safetensors", named)]
    first, last, result = ran.err.splitlines()
    assert first == "step 1/300: loss 0.01234, 31.2 dB, 0.456 bit per sample, 1:02:05 left"
    assert last.startswith("step 300/300") and result.startswith("mine ") and ran.out == ""
    assert nfc("train", "photos", "-o", "m", "--config", "c", "--json").objects[0]["id"] == "mine"
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    assert "31.2 dB" in nfc("train", "photos", "-o", "m", "--config", "c").err
    nfc("train", "photos", "more", "-o", "m", "--config", "c", "--minutes", "2.5")
    assert seen[-1][0] == ("photos", "more") and seen[-1][2]["minutes"] == 2.5
    assert nfc("train", "photos", "-o", "mine.safetensors").code == 2


def test_train_from_an_init(nfc: Nfc, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def fake(*args: object, **options: object) -> ModelInfo:
        asked.append(options["begin"])
        raise OptionError("enough")

    monkeypatch.setattr(api, "train", fake)
    for more in ((), ("--from", "photo-lattice")):
        assert nfc("train", "photos", "-o", "m.safetensors", "--config", "c.toml", *more).code == 2
    assert asked == [None, "photo-lattice"]


def test_train_with_a_bad_config(nfc: Nfc) -> None:
    Path("c.toml").write_text("id = 'x'\ncolour = 1\n")
    ran = nfc("train", ".", "-o", "m.safetensors", "--config", "c.toml")
    assert ran.code == 2 and "colour" in ran.err and [p.name for p in Path().iterdir()] == ["c.toml"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(nfc: Nfc, shell: str) -> None:
    ran = nfc("completion", shell)
    assert ran.code == 0 and f"_NFC_COMPLETE={shell}_complete" in ran.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nfc en", "encode"), ("nfc encode --qu", "--quality"), ("nfc photo.png --sk", "--skip-existing"),
        ("nfc xyz", "xyz"),
    ],
)  # fmt: skip
def test_completions(nfc: Nfc, monkeypatch: pytest.MonkeyPatch, words: str, expected: str) -> None:
    monkeypatch.setenv("_NFC_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    ran = nfc()
    assert ran.out.split() == [f"{'file' if expected == 'xyz' else 'plain'},{expected}"] and ran.err == ""


# -- help and version ------------------------------------------------------------------------------------
def test_help(nfc: Nfc) -> None:
    ran = nfc("--help")
    assert ran.code == 0 and ran.out == nfc("-h").out and "Exit codes:" in ran.out
    assert "..." not in ran.out.split("Commands:")[1]
    for verb in VERBS:
        ran = nfc(verb, "-h")
        assert ran.code == 0 and f"Usage: nfc {verb}" in ran.out
    assert "[default: 75]" in " ".join(nfc("encode", "--help").out.split())


def test_version(nfc: Nfc) -> None:
    assert nfc("--version").out == "nfc 0.1.0 (format 1)\n"
    assert "torch " in nfc("--version", "-v").out and nfc("-v", "--version").out == nfc("--version", "-v").out


# -- progress --------------------------------------------------------------------------------------------
def test_progress_bar(nfc: Nfc, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_picture(tmp_path / "b.png")
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    ran = nfc("encode", "photo.png", "b.png", *FAST)
    assert ran.code == 0 and "1/2 photo.png" in ran.err and "2/2 b.png" in ran.err and ran.out == ""
    assert nfc("encode", "photo.png", *FAST, "-f", "--json").err == ""


def test_progress_bar_of_a_search(nfc: Nfc, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many attempts there are, the bar only grows."""
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    events: list[Any] = []
    advance = progress._advance
    monkeypatch.setattr(progress, "_advance", lambda bar, event: (advance(bar, event), events.append(event.done)))
    ran = nfc("encode", "photo.png", "-e", "2", "--init", init("tiny-lattice"), "--target-psnr", "25")
    shown = [int(share) for share in re.findall(r"(\d+)%", ran.err)]
    assert ran.code == 0 and len(events) > 4 and events == sorted(events) and events[-1] == 480
    assert shown == sorted(shown) and shown[-1] <= 100 and "search" in ran.err


def test_verbose_tells_by_how_much_steps_were_rescaled(nfc: Nfc, photo: Path, tmp_path: Path) -> None:
    """An init that was trained on half of the cells meets all of them."""
    plain = zoo.load(init("tiny-lattice"))
    [level] = plain.levels
    gains = {"log_again": np.zeros((1, 3, 64), np.float32)}
    pruned = dataclasses.replace(level, context=Context(0.5), first_step={**level.first_step, **gains})
    zoo.write_init(dataclasses.replace(plain, levels=(pruned,)), tmp_path / "half.safetensors")
    args = ("encode", "photo.png", "-e", "1", "-f", "--init", "half.safetensors")
    assert re.search(r"^step on all cells re-scaled by 1\.\d+", nfc(*args, "-v").err, re.MULTILINE)
    assert "re-scaled" not in nfc(*args).err


# -- what goes wrong inside ------------------------------------------------------------------------------
def raising(error: BaseException) -> Any:
    def work(*args: Any, **named: Any) -> Any:
        raise error

    return work


def test_bugs(nfc: Nfc, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "encode", raising(ZeroDivisionError("oh")))
    ran = nfc("encode", "photo.png")
    assert ran.code == 1 and ran.err.startswith("nfc: photo.png: internal error: ZeroDivisionError: oh\n  ")
    assert "Traceback" not in ran.err and "-v" in ran.err
    for args in (("encode", "photo.png", "-v"), ("-v", "encode", "photo.png")):
        assert "Traceback" in nfc(*args).err
    assert [o["error"] for o in nfc("encode", "photo.png", "b.png", "--json").objects] == ["ZeroDivisionError"] * 2
    monkeypatch.setattr(api, "models", raising(ZeroDivisionError()))
    assert nfc("models").code == 1 and json.loads(nfc("models", "--json").out)["ok"] is False


def test_interrupts(nfc: Nfc, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "encode", raising(KeyboardInterrupt()))
    ran = nfc("encode", "photo.png", "b.png")
    assert (ran.code, ran.err) == (130, "nfc: interrupted\n")
    # What C code makes of an interrupt is an interrupt still.
    for error in (ImportError("numpy"), SystemError("x"), RuntimeError("x")):
        monkeypatch.setattr(api, "encode", raising(error))
        ran = nfc("encode", "photo.png", session=Session(signal=15))
        assert (ran.code, ran.err) == (143, "nfc: terminated\n")


def test_a_reader_that_left(nfc: Nfc, coded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OutputError("cannot write to standard output: Broken pipe")
    error.__cause__ = BrokenPipeError()
    monkeypatch.setattr(api, "decode", raising(error))
    ran = nfc("decode", "photo.nfc", "-o", "-")
    assert (ran.code, ran.err) == (1, "")
    assert "Broken pipe" in nfc("decode", "photo.nfc").err  # a broken pipe elsewhere is an error


def test_results_of_a_piped_decode_go_to_standard_error(nfc: Nfc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "decode", lambda *a, **n: DecodeResult("x.nfc", "-", (3, 4), 5, 0.1))
    ran = nfc("decode", "x.nfc", "-o", "-")
    assert ran.out == "" and ran.err.startswith("x.nfc → (pipe)  4×3  5 B")
    ran = nfc("decode", "x.nfc", "-o", "-", "--json")
    assert ran.out == "" and json.loads(ran.err)["ok"] is True
