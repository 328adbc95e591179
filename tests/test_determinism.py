"""Symbols are the same on every machine; samples may differ by a rounding.

Other machines are played by other instruction sets, thread counts and libraries in fresh processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import memory, pack, painting, sound

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())

SCRIPT = """
import json, sys, hashlib
sys.path[:0] = [{tests!r}, {golden!r}]
import numpy as np, torch
from pathlib import Path
torch.backends.mkldnn.set_flags({mkldnn})
torch.set_default_dtype(torch.{dtype})
from helpers import decode_array, init, memory, pack, painting, sound
from nfcodec import api
found, digests = {{}}, {{}}
for name, about in json.loads(Path({golden!r}, "expected.json").read_text()).items():
    path = {golden!r} + "/" + name + ".nfc"
    digests[name] = api.verify(path, init=init(about["init"])).digest
    found[name] = decode_array(path, about["init"])[..., : about["channels"]]
np.savez({out!r}, **found)
files = [pack(memory("image", painting(30, 40)), "image")[0], pack(memory("audio", sound(700, 2)), "audio")[0]]
files += [pack(memory("image", painting(30, 40)), "tiny-lattice")[0]]
print(json.dumps([digests, [hashlib.sha256(f).hexdigest() for f in files], torch.backends.cpu.get_cpu_capability()]))
"""

MACHINES = {
    "plain": ({"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}, True, "float32"),
    "avx2": ({"ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "2"}, True, "float32"),
    "avx512": ({"ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "1", "MKL_CBWR": "AVX512"}, True, "float32"),
    "compatible": ({"MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "2"}, False, "float32"),
    "sse": ({"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "1"}, True, "float64"),
}


def start(out, machine=None):
    """Run the script as ``machine`` (or as this one): digests, hashes of new files, instruction set."""
    changed, mkldnn, dtype = machine or ({}, True, "float32")
    places = {"tests": str(GOLDEN.parent), "golden": str(GOLDEN), "out": str(out)}
    code = SCRIPT.format(**places, mkldnn=mkldnn, dtype=dtype)
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | changed, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("machine", MACHINES)
def test_decoding_agrees(tmp_path, machine):
    from golden.test_golden import off_by_more_than_rounding

    digests, _, _ = start(tmp_path / "found.npz", MACHINES[machine])
    assert digests == {name: about["symbols"] for name, about in EXPECTED.items()}
    with np.load(tmp_path / "found.npz") as found, np.load(GOLDEN / "samples.npz") as golden:
        for name, about in EXPECTED.items():
            assert off_by_more_than_rounding(found[name], golden[name], about["type"]) == 0, name


def test_encoding_in_two_processes_gives_the_same_bytes(tmp_path):
    _, hashes, _ = start(tmp_path / "found.npz")
    here = [pack(memory("image", painting(30, 40)), "image")[0], pack(memory("audio", sound(700, 2)), "audio")[0]]
    here += [pack(memory("image", painting(30, 40)), "tiny-lattice")[0]]
    assert hashes == [hashlib.sha256(data).hexdigest() for data in here]


@pytest.mark.parametrize("kind", ["image", "tiny-lattice"])
def test_threads_do_not_change_a_file(kind):
    import torch

    before = torch.get_num_threads()
    files = set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            files.add(pack(memory("image", painting(120, 150)), kind, effort=2)[0])
    finally:
        torch.set_num_threads(before)
    assert len(files) == 1
