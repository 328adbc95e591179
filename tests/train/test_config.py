
import pytest
from tiny import PICTURE

from nfcodec.errors import OptionError
from nfcodec.train.training import load_config
from nfcodec.zoo import models_folder

FIELD = """
[field]
kind = "siren"
axes = 2
channels = 3
width = 8
depth = 2
w0 = 6
coord_scale = 1
offset = true
opponent = true
tile = [6, 6]
"""


def read(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_defaults_and_values(tmp_path):
    config = read(tmp_path, 'id = "x"\nseed = 9\n' + FIELD + "[inner]\nsteps = 5\n[rate]\ncoarsest = 2\n")
    assert config.field == PICTURE and config.id == "x" and config.seed == 9
    assert config.inner.steps == 5 and config.rate.coarsest == 2
    assert config.outer.batch == 64 and config.sparse.score == "delta"


METHODS = {
    "maml": "[outer]\nlr_rate = 0\nclip = 0\n[inner]\ngamma = 1.0\n[sparse]\nrounds = 0\n",
    "meta-sparse": '[sparse]\nbase = "masked"\nscore = "theta"\n',
    "random": '[sparse]\nbase = "masked"\nscore = "random"\n',
    "scratch": "[outer]\nsteps = 0\n[rate]\nlr = 0\n[sparse]\nrounds = 0\n",
    "ticket": '[inner]\nsteps = 0\n[sparse]\nrewind = true\nbase = "masked"\nscore = "theta"\n',
    "gates": "[gates]\nsteps = 5\nweight = 0.1\n[sparse]\nrounds = 0\n",
    "shifts": '[sparse]\nmoves = "shifts"\nrounds = 0\n',
}


@pytest.mark.parametrize("text", METHODS.values(), ids=METHODS)
def test_methods_of_the_papers_are_tables(tmp_path, text):
    """As docs/training.md lists them."""
    assert read(tmp_path, 'id = "x"\n' + FIELD + text).field == PICTURE


# What tunes a part of an init is read by the script that does.
TRAINED = sorted(p for p in models_folder().glob("*.toml") if not p.stem.endswith("-tune"))


@pytest.mark.parametrize("path", TRAINED, ids=lambda p: p.stem)
def test_shipped_configs_load(path):
    parts = ("", "-method", "-perceptual", "-detail", "-soft", "-prior")
    assert path.stem.removeprefix(load_config(path).id) in parts


@pytest.mark.parametrize("given", ["12", "[12.5]", "[0]", '["a"]', "[true]"])
def test_spacings_are_whole_numbers(tmp_path, given):
    lattice = '[field]\nkind = "lattice"\n'
    assert read(tmp_path, 'id = "x"\n' + lattice + "[wider]\nspacings = [12, 16]\n").wider.spacings == (12, 16)
    with pytest.raises(OptionError, match="wider.spacings"):
        read(tmp_path, 'id = "x"\n' + lattice + f"[wider]\nspacings = {given}\n")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('id = "x"\nsteps = 3\n' + FIELD, "steps"),
        ('id = "x"\n' + FIELD + "[inner]\nstep = 3\n", "inner.step"),
        ('id = "x"\n' + FIELD + '[data]\nfolder = "a"\n', "data.folder"),
        ('id = "x"\n' + FIELD + "[outer]\nbatches = 3\n", "outer.batches"),
        ('id = "x"\n' + FIELD + "[rate]\nlambda = 3\n", "rate.lambda"),
        ('id = "x"\n' + FIELD + "[sparse]\nround = 3\n", "sparse.round"),
        (FIELD, "id is missing"),
        ('id = "x"\n', "field is missing"),
        ("id = 4\n" + FIELD, "id = 4 must be a string"),
        ('id = "x"\nseed = -1\n' + FIELD, "seed"),
        ('id = "x"\nseed = "a"\n' + FIELD, "seed"),
        ('id = "x"\ninner = 4\n' + FIELD, "inner must be a table"),
        ('id = "x"\nfield = 4\n', "field: bad"),
        ('id = "x"\n' + FIELD.replace("w0 = 6\n", ""), "w0"),
        ('id = "x"\n' + FIELD + "depths = 3\n", "depths"),
        ('id = "x"\n' + FIELD.replace("width = 8", "width = 100000"), "max_parameters"),
        ('id = "x"\n' + FIELD + '[sparse]\nscore = "magnitude"\n', "sparse.score.*theta, spread, delta, random"),
        ('id = "x"\n' + FIELD + '[sparse]\nbase = "mask"\n', "sparse.base"),
        ('id = "x"\n' + FIELD + '[data]\nmodality = "smell"\n', "data.modality"),
        ('id = "x"\n' + FIELD + "[outer]\nsteps = 1.5\n", "outer.steps"),
        ('id = "x"\n' + FIELD + "[outer]\nsteps = true\n", "outer.steps"),
        ('id = "x"\n' + FIELD + "[outer]\nbatch = -2\n", "outer.batch"),
        ('id = "x"\n' + FIELD + '[outer]\nlr = "fast"\n', "outer.lr"),
        ('id = "x"\n' + FIELD + "[outer]\nlr = nan\n", "outer.lr"),
        ('id = "x"\n' + FIELD + "[rate]\ncoarsest = inf\n", "rate.coarsest"),
        ('id = "x"\n' + FIELD + '[sparse]\nrewind = 1\n', "sparse.rewind.*true or false"),
        ('id = "x"\n' + FIELD + '[sparse]\nbase = "masked"\nmoves = "shifts"\n', "shifts"),
        ('id = "x"\n' + FIELD.replace("siren", "nerv"), "NeRV"),
        ('id = "x"\n' + FIELD.replace("siren", "fourier").replace("width = 8", "width = 7"), "pairs"),
        ("id = \n", "c.toml"),
    ],
)
def test_mistakes_are_named(tmp_path_factory, text, name):
    folder = tmp_path_factory.mktemp("x")  # a path that names no key by itself
    with pytest.raises(OptionError, match=name):
        read(folder, text)


def test_unreadable(tmp_path):
    with pytest.raises(OptionError, match="none.toml"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"id = '\xff'")
    with pytest.raises(OptionError, match="b.toml"):
        load_config(tmp_path / "b.toml")
