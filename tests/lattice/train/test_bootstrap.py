"""The bootstrapped target: what further rounds made of a batch, as a constant."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import init as path_of
from helpers import painting

from nfcodec import zoo
from nfcodec.errors import CorruptError, OptionError
from nfcodec.lattice.fit.adapt import Plan, adapt_region
from nfcodec.lattice.fit.first_step import analysis
from nfcodec.lattice.fit.window import whole_window
from nfcodec.lattice.planes import OPPONENT_SET
from nfcodec.lattice.train.bootstrap import Lesson, Teacher
from nfcodec.lattice.train.config import BootstrapConfig

CONFIG = BootstrapConfig(rounds=2)


@pytest.fixture(scope="module")
def init():
    return zoo.load(path_of("tiny-lattice"))


@pytest.fixture(scope="module")
def planes():
    pictures = [torch.from_numpy(painting(32, 24, s).astype(np.float32) / 255) for s in range(2)]
    return torch.stack([OPPONENT_SET.to_planes(p, 0.5) for p in pictures])


def adapted(init, planes, quality, rounds):
    [level] = init.levels
    window = whole_window(planes, level.spec)
    with torch.inference_mode():
        weights = analysis(level, window)
    plan = replace(Plan.of(quality, 9), rounds=rounds)
    return adapt_region(level, window, weights, plan, planes=3, trade=plan.trade(init)).symbols


def test_the_lesson_is_what_rounds_changed(init, planes):
    qualities = [40, 80]
    lesson = Teacher(init, CONFIG).lesson(planes, qualities)
    before, after = (np.stack([adapted(init, p, q, r) for p, q in zip(planes, qualities, strict=True)]) for r in (0, 2))
    np.testing.assert_array_equal(lesson.index, np.flatnonzero(before != after))
    steps = np.stack([init.levels[0].steps(q) for q in qualities])[..., None, None]
    np.testing.assert_allclose(lesson.weights, (after * steps).ravel()[lesson.index])
    assert 0 < len(lesson.index) < before.size // 10


def lesson_of(*pairs):
    index, weights = zip(*pairs, strict=True)
    return Lesson(torch.tensor(index), torch.tensor(weights))


def test_distances():
    """Two signals of one cell with four weights, in steps of a half."""
    y = torch.tensor([[0.2, 0.0, -0.4, 7.0], [0.0, 1.0, 0.0, 0.0]]).reshape(2, 1, 4, 1, 1)
    sizes = torch.full((2, 1, 4), 0.5)
    lesson = lesson_of((0, 0.5), (2, 0.0), (5, 0.5))  # 1 and 0 steps; 1 step in the second
    assert torch.allclose(lesson.distance("square", y, sizes), torch.tensor([0.64 + 0.16, 0.0]))
    assert torch.allclose(lesson.distance("hinge", y, sizes), torch.tensor([0.4, 0.0]))
    norm = lesson.distance("norm", y, sizes)
    assert torch.allclose(norm, torch.tensor([(2 * 0.8) ** 0.5, 0.0]), atol=1e-5)


@pytest.mark.parametrize("form", ["norm", "square", "hinge"])
def test_no_gradient_flows_into_the_target(form):
    """Neither into the weights wanted nor through the steps that they are measured in, where ``y`` does not depend on
    these; and towards ``y`` it points at the target, on changed symbols alone."""
    y = torch.zeros(1, 1, 4, 1, 1, requires_grad=True)
    sizes = torch.ones(1, 1, 4, requires_grad=True)
    lesson = lesson_of((0, 2.0), (3, -2.0))
    assert not lesson.weights.requires_grad
    lesson.distance(form, y, sizes).sum().backward()
    assert sizes.grad is None
    assert y.grad.flatten().sign().tolist() == [-1, 0, 0, 1]


def test_the_teacher_gives_constants(init, planes):
    lesson = Teacher(init, CONFIG).lesson(planes.clone().requires_grad_(), [50, 50])
    assert not lesson.weights.requires_grad and not lesson.index.requires_grad


def test_lessons_are_kept(init, planes, tmp_path):
    teacher = Teacher(init, CONFIG, tmp_path / "kept")
    first = teacher.lesson(planes, [40, 60], "3-7")
    nobody = Teacher(replace(init, levels=()), CONFIG, tmp_path / "kept")  # cannot teach, but remember
    again = nobody.lesson(planes, [40, 60], "3-7")
    assert torch.equal(first.index, again.index) and torch.equal(first.weights, again.weights)
    (tmp_path / "kept" / "3-8.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(CorruptError, match=r"3-8\.npz"):
        teacher.lesson(planes, [40, 60], "3-8")


def test_lattices_of_several_levels_have_no_teacher(init):
    with pytest.raises(OptionError, match="levels"):
        Teacher(replace(init, levels=init.levels * 2), CONFIG)
