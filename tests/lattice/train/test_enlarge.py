"""Training of X alone, for all tunes of an init, which otherwise stays as it is."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import painting
from lattice.tiny_lattices import path_of
from lattice.train.test_looks import config_of
from PIL import Image

from nfcodec import zoo
from nfcodec.errors import OptionError
from nfcodec.lattice.stored_init import contents
from nfcodec.lattice.train.config import DetailConfig, PerceptionConfig
from nfcodec.lattice.train.halves import Encoded
from nfcodec.train.training import finished, new_trainer
from nfcodec.zoo import read_init, write_init


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(2):
        Image.fromarray(painting(140, 150, i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def both():
    """An init of two tunes, the second with steps of its own."""
    tiny = read_init(path_of("two"))
    [level] = tiny.levels
    coarser = dataclasses.replace(level, log_step=(level.log_step + 100).astype(np.int16))
    return dataclasses.replace(tiny, perceptual=dataclasses.replace(tiny, levels=(coarser,)))
