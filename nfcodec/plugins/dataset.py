"""A PyTorch data set of .nfc pictures that decodes no more than a sample shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from nfcodec.decoder import Decoder
from nfcodec.errors import MediaReadError, NfcError, OptionError
from nfcodec.lattice.code import ALONE, RegionCoder
from nfcodec.lattice.together import Together
from nfcodec.limits import DEFAULT_LIMITS, Limits
from nfcodec.parallel import limited
from nfcodec.plugins.pictures import reduced_picture
from nfcodec.plugins.regions import Crop, Part, Regions
from nfcodec.plugins.shapes import step_for

PathLike = str | os.PathLike[str]
Sample = dict[str, Any]
MODES = ("RGB", "RGBA", "L")


class NfcDataset(Dataset[Any]):
    """Pictures of .nfc files as tensors, decoded straight at the training size.

    ``files``: a folder, searched for \\*.nfc with its sub-folders, in order of their names; or paths. Sample ``i`` is a
    tensor (C, height, width): ``dtype`` float32 in [0, 1], or uint8. ``size``: one number, or (width, height); None
    for the size of the region itself. ``crop``, ``area``, ``ratio``, ``mirror``: see
    :class:`~nfcodec.plugins.regions.Regions`. ``mode``: "RGB", "RGBA" or "L", always from 8 bits. ``transform``:
    applied to every sample. ``label``: called with the path; samples are then (tensor, label).

    ``gap``: how many times larger than ``size`` the decoded region is at least, before it is reduced to it; more is
    slower and nearer to the whole file's picture.

    ``fields``: instead of pixels a dict of what the file holds: "symbols" int32 (3, K, rows, columns) of a lattice or
    (modules, K) of modules; "steps" float32 (3, K) or (K,), so that symbols times steps are the deltas;
    "quality"; and "shape" (height, width). No pixel is rendered then.

    What is random follows from ``seed`` (or a number drawn from ``generator``), the epoch (:meth:`set_epoch`) and the
    index alone, whatever the number of workers. ``init``: path of an init that is not shipped.
    Raises :class:`OptionError` for impossible options, :class:`MediaReadError` when there are no files; reading a
    sample raises :class:`~nfcodec.errors.NfcError` subclasses that name the file.
    """

    def __init__(
        self, files: PathLike | Iterable[PathLike], *, size: int | tuple[int, int] | None = None, crop: Crop = "whole",
        area: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3), mirror: bool = False,
        mode: str = "RGB", dtype: torch.dtype = torch.float32, gap: float = 1.0, fields: bool = False,
        transform: Callable[[Any], Any] | None = None, label: Callable[[Path], Any] | None = None, seed: int = 0,
        generator: torch.Generator | None = None, init: str | None = None, limits: Limits = DEFAULT_LIMITS,
    ) -> None:  # fmt: skip
        square = (int(size), int(size)) if isinstance(size, Integral) else size
        self.regions = Regions(square, tuple(crop) if isinstance(crop, list) else crop, area, ratio, mirror)  # type: ignore[arg-type]
        _check(mode, dtype, gap)
        if fields and (size is not None or crop != "whole" or mirror):
            raise OptionError("fields=True gives what the whole file holds; it takes no size, crop or mirror")
        self.files = _files(files)
        self.mode, self.dtype, self.gap, self.fields = mode, dtype, gap, fields
        self.transform, self.label, self.limits = transform, label, limits
        self.inits = (init,) if init else ()
        if generator is not None:
            seed = int(torch.randint(2**31, (), generator=generator))
        self.seed = seed
        self._together: tuple[int, Together] | None = None
        # In shared memory, so that workers that live on see the next epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def epoch(self) -> int:
        """The epoch whose random choices samples show."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose anew what is random; call it before each pass over the data, in the main process."""
        if not isinstance(epoch, Integral) or epoch < 0:
            raise OptionError(f"epoch must be a whole number from 0 on, got {epoch!r}")
        self._epoch.fill_(int(epoch))

    def __getitem__(self, index: int) -> Any:
        return self._finished(self._read(ALONE, index), index)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples of a batch, as a ``DataLoader`` asks for them: the same, decoded together in less time."""
        futures = self._company().run([partial(self._read, index=index) for index in indices])
        return [self._finished(f.result(), index) for f, index in zip(futures, indices, strict=True)]

    def _company(self) -> Together:
        """The threads of this process: those of another one are not here after a fork."""
        if self._together is None or self._together[0] != os.getpid():
            self._together = os.getpid(), Together()
        return self._together[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_together": None}

    def _finished(self, sample: Any, index: int) -> Any:
        """With what the user adds to it."""
        if self.transform is not None:
            sample = self.transform(sample)
        return sample if self.label is None else (sample, self.label(self.files[index]))

    def _read(self, coder: RegionCoder, index: int) -> Tensor | Sample:
        if not -len(self.files) <= index < len(self.files):
            raise IndexError(f"sample {index} of {len(self.files)}")
        index %= len(self.files)
        path = self.files[index]
        try:
            # Workers of a data loader have one thread each, which torch knows of.
            with path.open("rb") as file, limited(torch.get_num_threads()):
                decoder = Decoder(file, limits=self.limits, inits=self.inits, coder=coder)
                return symbols_of(decoder) if self.fields else self._pixels(decoder, index)
        except OSError as error:
            raise MediaReadError(f"cannot read {path}: {error.strerror}") from error
        except NfcError as error:
            raise type(error)(f"{path}: {error}", hint=error.hint) from error

    def _pixels(self, decoder: Decoder, index: int) -> Tensor:
        if decoder.info.modality != "image":
            raise OptionError(f"a sample is a picture, this is {decoder.info.modality}")
        height, width = decoder.info.shape
        draw = np.random.default_rng((self.seed, self.epoch, index))
        image = self._shown(decoder, self.regions.choose((width, height), draw))
        samples = np.asarray(image)
        found = torch.from_numpy(samples.reshape(*samples.shape[:2], -1).transpose(2, 0, 1).copy())
        return found if self.dtype == torch.uint8 else found.to(self.dtype).div_(255)

    def _shown(self, decoder: Decoder, part: Part) -> Image.Image:
        """The region at the size asked for."""
        x, y, width, height = part.box
        size = self.regions.size or (width, height)
        step = step_for((width, height), (self.gap * size[0], self.gap * size[1]))
        image, found = reduced_picture(decoder, step, part.box, eight=True, rough=True)
        image = image.convert(self.mode)
        left, top = (x - found.x) / step, (y - found.y) / step
        # The last square of a picture may be a part of one.
        right, bottom = min(left + width / step, image.width), min(top + height / step, image.height)
        if size != image.size or (left, top, right, bottom) != (0, 0, *image.size):
            image = image.resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if part.mirrored else image


def _check(mode: str, dtype: torch.dtype, gap: float) -> None:
    if mode not in MODES:
        raise OptionError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if dtype not in (torch.uint8, torch.float32):
        raise OptionError(f"dtype must be torch.uint8 or torch.float32, got {dtype}")
    if not 1 <= gap < float("inf"):
        raise OptionError(f"gap must be at least 1, got {gap!r}")


def _files(files: PathLike | Iterable[PathLike]) -> tuple[Path, ...]:
    if not isinstance(files, str | os.PathLike):
        found: Sequence[Path] = [Path(name) for name in files]
    else:
        folder = Path(files)
        if not folder.is_dir():
            raise MediaReadError(f"{folder} is not a folder", hint="a list of paths is taken, too")
        found = sorted(p for p in folder.rglob("*.nfc") if p.is_file() and not p.name.startswith("."))
    if not found:
        raise MediaReadError(f"there are no .nfc files in {files}")
    return tuple(found)


# -- fields ----------------------------------------------------------------------------------------------
def symbols_of(decoder: Decoder) -> Sample:
    """What a file holds, as tensors: see :class:`NfcDataset`."""
    deltas, shape = decoder.field.deltas(), tuple(decoder.info.shape)
    symbols, steps = torch.from_numpy(deltas.symbols), torch.from_numpy(deltas.steps)
    return {"symbols": symbols, "steps": steps, "quality": decoder.header.quality, "shape": shape}
