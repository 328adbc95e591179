"""The house has floors (docs/architecture.md): a room imports only from floors below it.

Everything here reads the source; no module of nfcodec is imported but in a process of its own.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nfcodec"


def floors():
    """The rooms from the ground up, as docs/architecture.md shows them: one line of the first block is one floor.

    Rooms on one floor do not know each other. "nfcodec" is the package itself: it promises the public names and fetches
    them from api when asked.
    """
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = text.split("```floors\n")[1].split("```")[0]
    return [line.split("#")[0].split() for line in block.splitlines() if line.split("#")[0].strip()]


FLOOR_OF = {room: i for i, rooms in enumerate(floors()) for room in rooms}

MOST_LINES = 400
LONGEST_FUNCTION = 60
HEAVY = ("torch", "numpy")


def sources():
    return sorted(PACKAGE.rglob("*.py"))


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for p in sources()}


def room(module):
    """The room of a dotted module name: the longest one that it lies in; "nfcodec" for the package itself."""
    parts = module.split(".")[1:]
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((n for n in names if n in FLOOR_OF), parts[0] if parts else "nfcodec")


def place(path, line):
    return f"{path.relative_to(ROOT)}:{line}"


def in_type_checking(tree):
    """Lines under ``if TYPE_CHECKING``: they never run."""
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.body:
                lines.update(range(child.lineno, child.end_lineno + 1))
    return lines


def at_import(tree):
    """Lines that run when the module is imported: outside functions and TYPE_CHECKING."""
    inside = in_type_checking(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside.update(range(node.lineno, node.end_lineno + 1))
    return lambda line: line not in inside


def imports(path, *, only=None):
    """(line, imported module) of every import in a file, ``from nfcodec import zoo`` counted as nfcodec.zoo."""
    tree = tree_of(path)
    runs = at_import(tree) if only == "at import" else lambda line: True
    typing_only = in_type_checking(tree) if only == "running" else set()
    package = module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom) or not runs(node.lineno) or node.lineno in typing_only:
            continue
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        else:
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            stem = ".".join(p for p in (base, node.module or "") if p)
            names = [f"{stem}.{a.name}" if f"{stem}.{a.name}" in MODULES else stem for a in node.names]
        for name in names:
            yield node.lineno, name


def own_imports(path, **options):
    return [(line, m) for line, m in imports(path, **options) if m == "nfcodec" or m.startswith("nfcodec.")]


def complaint(found):
    return "\n".join(["", *found])


def test_every_room_has_a_floor():
    unknown = sorted({room(m) for m in MODULES} - set(FLOOR_OF))
    assert not unknown, f"give these a floor in docs/architecture.md: {unknown}"


def test_rooms_import_only_from_below():
    wrong = []
    for module, path in MODULES.items():
        here = room(module)
        for line, target in own_imports(path):
            there = room(target)
            if module == "nfcodec" and there == "nfcodec":
                continue
            if there != here and FLOOR_OF[there] >= FLOOR_OF[here]:
                wrong.append(f"{place(path, line)}: {here} imports {target}, which is not on a floor below it")
    assert not wrong, complaint(wrong)


def test_there_is_no_circle_of_rooms():
    edges = {}
    for module, path in MODULES.items():
        for line, target in own_imports(path):
            if room(target) != room(module):
                edges.setdefault(room(module), {}).setdefault(room(target), place(path, line))
    done = set()

    def visit(node, trail):
        assert node not in trail, complaint(
            [f"circle {' → '.join([*trail[trail.index(node) :], node])}"]
            + [edges[a][b] for a, b in zip(trail, [*trail[1:], node], strict=True)]
        )
        if node not in done:
            for target in edges.get(node, {}):
                visit(target, [*trail, node])
            done.add(node)

    for start in list(edges):
        visit(start, [])


def file_edges(modules):
    """For each module the modules of ours that it can load, with the place; in functions too, but not for typing."""
    edges = {}
    for module, path in modules.items():
        for line, target in own_imports(path, only="running"):
            name = target if target in modules else target.rpartition(".")[0]
            if name != module:
                edges.setdefault(module, {}).setdefault(name, place(path, line))
    return edges


def circles(edges):
    """The largest sets of nodes of which each can be reached from each other (Tarjan 1972), sorted."""
    number, low, trail, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        trail.append(node)
        for target in edges.get(node, ()):
            if target not in number:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in trail:
                low[node] = min(low[node], number[target])
        if low[node] == number[node]:
            at = trail.index(node)
            circle, trail[at:] = frozenset(trail[at:]), []
            if len(circle) > 1:
                found.append(circle)

    for node in edges:
        if node not in number:
            visit(node)
    return sorted(found, key=sorted)


def test_there_is_no_circle_of_files():
    """An import inside of a function hides a circle from Python, not from a reader."""
    edges = file_edges(MODULES)
    found = circles(edges)
    assert not found, complaint(
        [f"{edges[a][b]}: {a} imports {b}, circle" for c in found for a in sorted(c) for b in edges[a] if b in c]
    )


def test_the_search_for_circles_finds_them():
    assert circles({"a": "b", "b": "c", "c": "a", "d": "a", "e": "f", "f": "e"}) == [frozenset("abc"), frozenset("ef")]
    assert circles({"a": "bc", "b": "c", "c": "d"}) == []
    assert "nfcodec.media.image" in file_edges(MODULES)["nfcodec.media"], "imports in functions count"
    assert "nfcodec.api" not in file_edges(MODULES)["nfcodec"], "imports for typing do not"


def reached(start):
    """Modules that a module can load, each with the place that first led there; functions count, typing does not."""
    found, queue = {start: "itself"}, [start]
    while queue:
        path = MODULES[queue.pop()]
        for line, target in own_imports(path, only="running"):
            name = target if target in MODULES else target.rpartition(".")[0]
            for part in {name, *[name.rsplit(".", i)[0] for i in range(1, name.count("."))]}:
                if part in MODULES and part != "nfcodec" and part not in found:
                    found[part] = place(path, line)
                    queue.append(part)
    return found


DECODING = ["nfcodec.decoder", "nfcodec.field_file", "nfcodec.lattice.family", "nfcodec.modules.family"]


@pytest.mark.parametrize("module", DECODING)
@pytest.mark.parametrize("forbidden", ["fit", "train", "encoder"])
def test_decoding_reaches_no_encoding(module, forbidden):
    found = [f"{where}: {module} reaches {m}" for m, where in reached(module).items() if forbidden in m.split(".")]
    assert not found, complaint(found)


def test_the_search_does_reach():
    """The test above must be able to fail."""
    found = set(reached("nfcodec.decoder")) | set(reached("nfcodec.lattice.family"))
    assert {"nfcodec.zoo", "nfcodec.families", "nfcodec.entropy.coder"} <= found
    assert {"nfcodec.lattice.stored", "nfcodec.lattice.synthesis", "nfcodec.lattice.restore"} <= found
    assert "nfcodec.modules.siren" in reached("nfcodec.modules.family")
    assert "nfcodec.modules.fit.inner" in reached("nfcodec.modules.fit.family")
    assert {"nfcodec.lattice.fit.first_step", "nfcodec.decoder"} <= set(reached("nfcodec.lattice.fit.family"))


def test_only_the_encoder_and_training_ask_for_those_sides():
    """``families.side`` imports by name, which the search above does not see."""
    users = {m for m, p in MODULES.items() if "families.side(" in p.read_text(encoding="utf-8")}
    assert users == {"nfcodec.encoder", "nfcodec.train.training"}


FORBIDDEN = [  # room or module prefix, what it must not import
    ("nfcodec.entropy", ("torch", "nfcodec.lattice", "nfcodec.modules", "nfcodec.families")),
    ("nfcodec.container", ("torch", "numpy", "nfcodec.lattice", "nfcodec.modules", "nfcodec.entropy")),
    ("nfcodec.media", ("torch", "nfcodec.lattice", "nfcodec.modules", "nfcodec.entropy")),
    ("nfcodec.lattice", ("soundfile", "constriction", "nfcodec.modules")),
    ("nfcodec.modules", ("PIL", "soundfile", "constriction")),
    ("nfcodec.errors", HEAVY),
    ("nfcodec.limits", HEAVY),
    ("nfcodec.options", HEAVY),
    ("nfcodec.metrics", ("torch",)),
    ("nfcodec.cli", ("constriction", "nfcodec.lattice", "nfcodec.modules", "nfcodec.entropy")),
]


@pytest.mark.parametrize(("where", "what"), FORBIDDEN, ids=[w for w, _ in FORBIDDEN])
def test_forbidden_imports(where, what):
    found = []
    for module, path in MODULES.items():
        if module == where or module.startswith(where + "."):
            for line, target in imports(path):
                found += [
                    f"{place(path, line)}: {module} imports {target}"
                    for w in what
                    if target == w or target.startswith(w + ".")
                ]
    assert not found, complaint(found)


def test_cli_loads_nothing_heavy_when_imported():
    found = []
    for module, path in MODULES.items():
        if room(module) in ("cli", "__main__"):
            for line, target in imports(path, only="at import"):
                light = ("api", "rewrite", "batch", "encoder", "decoder", "lattice", "modules", "metrics")
                rooms = tuple(f"nfcodec.{r}" for r in light)
                if target.split(".")[0] in HEAVY or target.startswith(rooms):
                    found.append(f"{place(path, line)}: {module} imports {target}")
    assert not found, complaint(found)


def test_only_the_coder_imports_constriction():
    users = {module: line for module, path in MODULES.items() for line, m in imports(path) if "constriction" in m}
    assert set(users) == {"nfcodec.entropy.coder"}, users


def test_only_training_knows_an_optimizer():
    found = []
    for module, path in MODULES.items():
        for node in ast.walk(tree_of(path)):
            optimizer = isinstance(node, ast.Attribute) and ast.unparse(node).startswith("torch.optim")
            if optimizer and "train" not in module.split("."):
                found.append(f"{place(path, node.lineno)}: {ast.unparse(node)}")
    assert not found, complaint(found)


def test_nothing_is_unpickled_or_evaluated():
    found = []
    for path in sources():
        for line, target in imports(path):
            if target.split(".")[0] in {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}:
                found.append(f"{place(path, line)}: import {target}")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                pickled = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
                if called in {"eval", "exec", "compile", "torch.load", "torch.save", "torch.jit.load"} or pickled:
                    found.append(f"{place(path, node.lineno)}: {called}(…)")
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                found += [f"{place(path, node.lineno)}: {a.name}" for a in node.names if a.name in ("load", "save")]
    assert not found, complaint(found)


def test_files_are_short():
    counts = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in sources()}
    found = [f"{place(p, n)}: {n} lines, {MOST_LINES} are allowed" for p, n in counts.items() if n > MOST_LINES]
    assert not found, complaint(found)


def test_functions_are_short():
    found = []
    for path in sources():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    found.append(f"{place(path, node.lineno)}: {node.name} has {length} lines")
    assert not found, complaint(found)


def test_importing_sets_no_global_flag():
    """No seeds, thread counts, warning filters or environment variables at import time."""
    setters = (
        "torch.set_", "torch.manual_seed", "torch.use_deterministic", "np.random.seed", "random.seed", "os.environ",
        "os.putenv", "warnings.filterwarnings", "warnings.simplefilter", "logging.basicConfig",
    )  # fmt: skip
    found = []
    for path in sources():
        tree = tree_of(path)
        runs = at_import(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call | ast.Subscript) and runs(node.lineno):
                text = ast.unparse(node.func if isinstance(node, ast.Call) else node)
                stored = isinstance(node, ast.Call) or isinstance(node.ctx, ast.Store)
                if stored and text.startswith(setters) and not text.endswith((".get", ".items")):
                    found.append(f"{place(path, node.lineno)}: {text}")
    assert not found, complaint(found)


LIGHT = ["nfcodec", "nfcodec.pillow", "nfcodec.errors", "nfcodec.limits", "nfcodec.options"]
LIGHT += [m for m in ("nfcodec.cli", "nfcodec.cli.app") if m in MODULES]


@pytest.mark.parametrize("module", LIGHT)
def test_import_is_light(module):
    """``import nfcodec`` and ``nfc --help`` wait for neither torch nor numpy."""
    code = f"import sys, {module}; print(sorted({{m.split('.')[0] for m in sys.modules}} & set({HEAVY!r})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]", f"import {module} loads {run.stdout.strip()}"


def test_public_names_exist_without_loading_anything_heavy():
    code = "import nfcodec as n; print([x for x in n.__all__ if x not in n.__dict__ and x not in n._FROM_API])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


def test_every_package_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {module_name(p) for p in sources() if p.name == "__init__.py"}
    assert found == set(listed) - {"nfcodec.models"}


def test_sources_are_papers_not_files_that_nobody_has():
    """A reader has the repository: what is cited by the name of a document must be in it."""
    found = []
    for path in sorted([*sources(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").glob("*.md")]):
        for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found += [f"{place(path, i)}: {name}" for name in re.findall(r"\b[A-Z]{4,}\.md\b|\b[A-Z]{5,} §", line)]
    known = {p.name for p in ROOT.rglob("*.md") if ".venv" not in p.parts}
    found = [f for f in found if f.rsplit(": ", 1)[1] not in known and not f.endswith("FORMAT §")]
    assert not found, complaint(found)
