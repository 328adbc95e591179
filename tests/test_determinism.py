"""Symbols are the same on every machine, and so are the samples of a lattice; of modules they may differ by a rounding.

Other machines are played by other instruction sets, thread counts, libraries and host programs in fresh processes.
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
{host}
import numpy as np
from pathlib import Path
from helpers import decode_array, init, memory, pack, painting, sound
from nfcodec import api
found, digests = {{}}, {{}}
for name, about in json.loads(Path({golden!r}, "expected.json").read_text()).items():
    path = {golden!r} + "/" + name + ".nfc"
    digests[name] = api.verify(path, init=init(about["init"])).digest
    array = decode_array(path, about["init"])
    array = array[..., None] if array.ndim == len(about["shape"]) else array
    found[name] = array[..., : about["channels"]]
np.savez({out!r}, **found)
files = [pack(memory("image", painting(30, 40)), "image")[0], pack(memory("audio", sound(700, 2)), "audio")[0]]
files += [pack(memory("image", painting(30, 40)), "tiny-lattice")[0]]
print(json.dumps([digests, [hashlib.sha256(f).hexdigest() for f in files]]))
"""

# What a program may have done before it decodes.
HOSTS = {
    "": "",
    "no mkldnn": "import torch; torch.backends.mkldnn.set_flags(False)",
    "doubles": "import torch; torch.set_default_dtype(torch.float64)",
    "bf16": "import torch; torch.set_float32_matmul_precision('medium')",
    "tf32": "import torch; torch.set_float32_matmul_precision('high'); torch.backends.cuda.matmul.allow_tf32 = True",
    "threads": "import torch; torch.set_num_threads(3)",
}

MACHINES = {
    "plain": ({"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}, ""),
    "avx2": ({"ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "2"}, ""),
    "avx512": ({"ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "1", "MKL_CBWR": "AVX512"}, "tf32"),
    "compatible": ({"MKL_CBWR": "COMPATIBLE", "OMP_NUM_THREADS": "2"}, "no mkldnn"),
    "sse": ({"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "1"}, "doubles"),
    "prescott": ({"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "2"}, "bf16"),
    "haswell": ({"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX"}, "threads"),
    "skylake": ({"OPENBLAS_CORETYPE": "SkylakeX", "OPENBLAS_NUM_THREADS": "1"}, "bf16"),
    "zen": ({"OPENBLAS_CORETYPE": "Zen", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX"}, "tf32"),
}


def usable(changed):
    """The environment as far as this machine can play it: kernels for instructions that it lacks would crash."""
    flags = cpu_flags()
    wide = {changed.get("ATEN_CPU_CAPABILITY"), changed.get("OPENBLAS_CORETYPE")} & {"avx512", "SkylakeX"}
    if wide and "avx512f" not in flags:
        pytest.skip("this machine has no AVX-512")
    return changed


def cpu_flags():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def start(out, environment=None, host=""):
    """Run the script in an environment, behind what a host program does: digests, hashes of new files."""
    places = {"tests": str(GOLDEN.parent), "golden": str(GOLDEN), "out": str(out)}
    # numpy warns where it is asked to do without something that it cannot do without.
    command = [sys.executable, "-W", "error", "-W", "ignore::ImportWarning", "-W", "ignore::RuntimeWarning:numpy"]
    code = SCRIPT.format(**places, host=HOSTS[host])
    done = subprocess.run(
        [*command, "-c", code], capture_output=True, text=True, env=os.environ | (environment or {}), check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("machine", MACHINES)
def test_decoding_agrees(tmp_path, machine):
    from golden.test_golden import off_by_more_than_rounding

    changed, host = MACHINES[machine]
    digests, _ = start(tmp_path / "found.npz", usable(changed), host)
    assert digests == {name: about["symbols"] for name, about in EXPECTED.items()}
    with np.load(tmp_path / "found.npz") as found, np.load(GOLDEN / "samples.npz") as golden:
        for name, about in EXPECTED.items():
            if about["init"] == "tiny-lattice":
                assert hashlib.sha256(found[name].tobytes()).hexdigest() == about["samples"], name
            else:
                assert off_by_more_than_rounding(found[name], golden[name], about["type"]) == 0, name


def test_encoding_in_two_processes_gives_the_same_bytes(tmp_path):
    _, hashes = start(tmp_path / "found.npz")
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
