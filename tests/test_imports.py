"""Imports run one way, downwards, and in no circle."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# From the commands down to what stands alone. A module may import from its own package, and from
# packages of a lower layer; packages of one layer do not know each other.
LAYERS = (
    ("hali_tf.train", "hali_tf.evaluate", "hali_tf.show", "hali_tf.export", "hali_tf.encode",
     "hali_tf.decode", "hali_tf.sample", "hali_tf.explore", "hali_tf.attributes.__main__"),
    ("hali_tf.exploring",),
    ("hali_tf.evaluation", "hali_tf.exporting", "hali_tf.bulk"),
    ("hali_tf.attributes",),
    ("hali_tf.training",),
    ("hali_tf.drawing", "hali_tf.measures", "hali_tf.runs"),
    ("hali_tf.data", "hali_tf.models"),
    ("hali_tf.config", "hali_tf.layers", "hali_tf.losses"),
    ("hali_tf.architectures", "hali_tf.command", "hali_tf.keras_versions"),
    ("hali_tf.errors", "hali_tf.files", "hali_tf.progress"),
    ("hali_tf",),
)  # fmt: skip


def modules(package):
    """Dict of dotted name to path, of all modules below a package of this repository."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path, known):
    """Names of the modules of `known` that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.update([whole] if whole in known else {node.module} & known.keys())
    return names


def package_of(name):
    """(layer's number, entry of `LAYERS`) of a module: the longest entry that begins its name."""
    entries = [
        (len(entry), number, entry)
        for number, layer in enumerate(LAYERS)
        for entry in layer
        if name == entry or name.startswith(f"{entry}.")
    ]
    _, number, entry = max(entries)
    return number, entry


def upward(graph):
    """The imports of a graph, dict of module to modules, that do not run downwards."""
    return [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in sorted(others)
        if package_of(name)[1] != package_of(other)[1]
        and package_of(name)[0] >= package_of(other)[0]
    ]


def circle(graph):
    """Modules that import each other in a circle, as a list from one back to itself; [] if none."""
    done = set()

    def visit(name, way):
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            found = visit(other, [*way, name])
            if found:
                return found
        done.add(name)
        return []

    return next(filter(None, (visit(name, []) for name in graph)), [])


def graph_of(package):
    known = modules(package)
    return {name: imported(path, known) - {name} for name, path in known.items()}


def test_every_module_has_a_layer():
    entries = {entry for layer in LAYERS for entry in layer}
    packages = {".".join(name.split(".")[:2]) for name in modules("hali_tf")}
    assert packages <= entries


def test_imports_run_downwards():
    assert upward(graph_of("hali_tf")) == []


@pytest.mark.parametrize("package", ["hali_tf", "serving"])
def test_there_is_no_circle(package):
    assert circle(graph_of(package)) == []


def test_the_checks_find_what_they_look_for():
    assert upward({"hali_tf.models.hali": {"hali_tf.training.fit"}})
    assert upward({"hali_tf.measures.scores": {"hali_tf.runs.checkpoints"}})
    assert not upward({"hali_tf.training.fit": {"hali_tf.models.hali", "hali_tf.training.devices"}})
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
