"""The parts without a run: parsing of values, formatting, exit codes of several items."""

from __future__ import annotations

import math

import pytest

from nfcodec.cli import text
from nfcodec.cli.items import exit_code
from nfcodec.cli.params import parse_bytes, parse_crop, parse_duration, parse_positive, parse_size, parse_time
from nfcodec.cli.report import describe, strict
from nfcodec.cli.session import Session
from nfcodec.errors import CorruptError, InternalError, LimitError
from nfcodec.options import CompareResult, EncodeResult, FileInfo, SectionInfo


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.5:3", (1.5, 3.0)), (":10", (0.0, 10.0)), ("5:", (5.0, None)), (":", (0.0, None)), ("0:1", (0.0, 1.0)),
        ("1:30:2:00", (90.0, 120.0)), ("1:30:", (90.0, None)), (":1:30", (0.0, 90.0)), ("1:30-2:00", (90.0, 120.0)),
        ("90-2:00", (90.0, 120.0)), ("1:00:00-", (3600.0, None)), ("-0.5", (0.0, 0.5)), ("0:00:01:0:00:02", (1.0, 2.0)),
    ],
)  # fmt: skip
def test_time_ranges(value: str, expected: tuple[float, float | None]) -> None:
    assert parse_time(value) == expected


@pytest.mark.parametrize(
    "value", ["", "5", "1:2:3", "a:b", "1-2-3", "nan:1", "0:inf", "1:2:3:4-5", "1::2", "1:2:3:4:5:6:7:8"]
)
def test_bad_time_ranges(value: str) -> None:
    with pytest.raises(ValueError):
        parse_time(value)


def test_sizes_and_crops() -> None:
    assert parse_size("1920x1080") == (1920, 1080)
    assert parse_size("1920x") == (1920, 0)
    assert parse_size("X1080") == (0, 1080)
    assert parse_crop("0,1,2,3") == (0, 1, 2, 3)
    for bad in ("1920", "1x2x3", "ax", ""):
        with pytest.raises(ValueError):
            parse_size(bad)
    for bad in ("1,2,3", "1,2,3,4,5", "", "a,b,c,d"):
        with pytest.raises(ValueError):
            parse_crop(bad)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("50000", 50000), ("50k", 50000), ("50kB", 50000), ("50KB", 50000), ("1M", 1_000_000), ("1.5MB", 1_500_000),
        (".5k", 500), ("2Ki", 2048), ("1KiB", 1024), ("1Mi", 2**20), ("2G", 2 * 10**9), ("12B", 12), (" 7 ", 7),
        ("0.0015k", 1),
    ],
)  # fmt: skip
def test_file_sizes(value: str, expected: int) -> None:
    assert parse_bytes(value) == expected


@pytest.mark.parametrize("value", ["", "k", "-5", "0", "0.4", "5q", "5kk", "1e3", "5 k", "1..2", "inf", "9" * 30, "5i"])
def test_bad_file_sizes(value: str) -> None:
    with pytest.raises(ValueError):
        parse_bytes(value)


def test_numbers_and_durations() -> None:
    assert (parse_positive("0.25"), parse_positive("1e3")) == (0.25, 1000.0)
    assert [parse_duration(v) for v in ("60", "0.5", "1:30", "1:00:00")] == [60.0, 0.5, 90.0, 3600.0]
    for bad in ("", "0", "-1", "inf", "nan", "x", "1,5"):
        with pytest.raises(ValueError):
            parse_positive(bad)
    for bad in ("", "0", "0:00", "-1", "inf", "nan", "x", "1:2:3:4"):
        with pytest.raises(ValueError):
            parse_duration(bad)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0), ([0], 0), ([0, 0], 0), ([1], 1), ([2], 2), ([4], 4), ([5], 5), ([0, 4], 4), ([4, 4, 0], 4),
        ([5, 5], 5), ([4, 5], 1), ([1, 4], 1), ([0, 2], 1), ([2, 2], 1), ([1, 0], 1),
    ],
)  # fmt: skip
def test_exit_code_of_several_items(codes: list[int], expected: int) -> None:
    assert exit_code(codes) == expected


def test_json_has_no_infinities() -> None:
    assert strict({"a": math.inf, "b": (1.0, math.nan), "c": [{"d": -math.inf}], "e": "inf", "f": 3}) == {
        "a": None, "b": [1.0, None], "c": [{"d": None}], "e": "inf", "f": 3,
    }  # fmt: skip


def test_names_cannot_steer_the_terminal() -> None:
    assert text.safe("a\x1b[31m\nb\udcff 🐾") == r"a\x1b[31m\nb\udcff 🐾"


def test_encode_summary() -> None:
    result = EncodeResult("photo.png", "photo.nfc", 1572864, 21344, 0.2171, "bpp", 36.12, None, 8.21, "photo", 75, 5)
    assert text.encoded(result) == "photo.png → photo.nfc  1 572 864 → 21 344 B  0.217 bpp  36.1 dB  8.2 s"
    assert text.encoded(result, verbose=True).endswith("photo quality 75 effort 5")
    sound = EncodeResult("-", "-", 0, 2000, 12.34, "kbps", math.inf, 20.0, 1.0, "speech", 75, 5)
    assert text.encoded(sound) == "(pipe) → (pipe)  2 000 B  12.3 kbit/s  no error  SNR 20.0 dB  1.0 s"


def file_info(
    modality: str, shape: tuple[int, ...], rate: float | None, value_range: tuple[float, float] | None,
    sections: tuple[SectionInfo, ...] = (
        SectionInfo("DELTA", 1000), SectionInfo("DELTA", 1500), SectionInfo("SOUND", 50),
    ),
) -> FileInfo:  # fmt: skip
    return FileInfo(
        path="x.nfc", bytes=3000, version=1, modality=modality, shape=shape, channels=2, alpha=False, sample_type="u8",
        sample_rate=rate, value_range=value_range, field="siren", init="some-init", quality=75, rate=8.0,
        rate_unit="kbps", metadata=("icc", "tags"), sections=sections,
    )  # fmt: skip


def test_info_block() -> None:
    block = text.information(file_info("audio", (16000,), 8000.0, None))
    assert block.startswith("x.nfc\n") and "audio, 16 000 samples, 8000 Hz, 2.00 s, 2 channels, u8" in block
    assert "icc, tags" in block and "2 DELTA 2 500 B, 1 SOUND 50 B" in block
    block = text.information(file_info("video", (50, 480, 640), 25.0, None))
    assert "video, 640×480, 50 frames, 25 per second, 2.00 s" in block
    cells = [(900, (1,)), (800, (2,)), (70, (1,)), (400, (1, 2, 3))]
    sections = (*(SectionInfo("CELLS", size, layers) for size, layers in cells), SectionInfo("ALPHA", 5))
    block = text.information(file_info("image", (30, 40), None, None, sections))
    wanted = "2 CELLS (layer 1) 970 B, 1 CELLS (layer 2) 800 B, 1 CELLS (layers 1–3) 400 B, 1 ALPHA 5 B"
    assert "siren, quality 75, init some-init" in block and wanted in block
    assert "-1 … 2.5" in text.information(file_info("array", (3, 4), None, (-1.0, 2.5)))


def test_compare_lines() -> None:
    lines = text.compared(CompareResult("a", "b", 30.0, 12.0, 0.9, 3.0)).splitlines()
    assert [line.split()[-1] for line in lines] == ["dB", "dB", "0.90000", "3"]


def test_descriptions_of_errors() -> None:
    assert describe(CorruptError("x", hint="y")) == ("x", "y", 4)
    assert describe(LimitError("x")) == ("x", None, 5)
    assert describe(MemoryError())[0] == "not enough memory"
    for bug in (InternalError("x"), ZeroDivisionError("x")):
        message, hint, code = describe(bug)
        assert message.startswith("internal error") and hint is not None and "-v" in hint and code == 1


def test_session_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert [Session(signal=n).stopped() for n in (0, 2, 15)] == [130, 130, 143]
    assert capsys.readouterr().err.splitlines() == ["nfc: interrupted", "nfc: interrupted", "nfc: terminated"]


def test_extents() -> None:
    assert [text.extent(s) for s in ((20, 24), (2000,), (6, 20, 24))] == ["24×20", "2 000 samples", "24×20×6"]
