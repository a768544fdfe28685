"""What the documentation says of the repository holds: links, files, commands, Python examples."""

import ast
import csv
import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from tests.exporting.runs import make_run

ROOT = pathlib.Path(__file__).parents[1]
OTHER_PAGES = [ROOT / "serving" / "README.md", ROOT / "scripts" / "cluster" / "README.md"]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *OTHER_PAGES])
PROGRAMS = (
    "hali_tf.train",
    "hali_tf.evaluate",
    "hali_tf.show",
    "hali_tf.explore",
    "hali_tf.export",
    "hali_tf.encode",
    "hali_tf.decode",
    "hali_tf.sample",
    "hali_tf.attributes",
)
OTHER_PROGRAMS = (
    "serving.server",
    "serving.client",
    "scripts/load_test.py",
    "scripts/attribute_tables.py",
    "scripts/benchmark.py",
    "scripts/benchmark_bulk.py",
    "scripts/benchmark_memory.py",
    "scripts/compare_pytorch.py",
    "scripts/explorer_latency.py",
    "scripts/gallery.py",
    "scripts/kills.py",
    "scripts/option_costs.py",
    "scripts/profile_step.py",
    "scripts/scaling.py",
)
_FLAG = re.compile(r"(?<!\S)--(\w+)(?![\w-])")
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"python (?:-m ((?:hali_tf|serving)\.\w+)|(scripts/\w+\.py))")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, language=None):
    """Texts of the page's fenced blocks, of one language or of all."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for word, text in found if language in (None, word)]


def prose(page):
    """The page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page):
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def defined_in(path):
    """Names of the functions, classes, methods (Class.method) and constants of a Python file."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (part.name for part in node.body if isinstance(part, ast.FunctionDef))
            names.update(f"{node.name}.{method}" for method in methods)
    return names


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=name_of)
def test_files_and_names_exist(page):
    folders = "hali_tf|serving|tests|configs|scripts|docs"
    spans = re.findall(rf"`((?:{folders})/[\w./]*?)(?:::([\w.]+))?`", prose(page))
    for path, name in spans:
        assert (ROOT / path).exists(), path
        assert not name or name in defined_in(ROOT / path), f"{path}::{name}"


def test_every_section_of_the_paper_has_a_file_and_a_test():
    page = (ROOT / "docs" / "paper_to_code.md").read_text(encoding="utf-8")
    table = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")]
    rows = {row[0].split()[0].rstrip(","): row for row in table}
    for section in ("3.1", "3.2", "4", "5.1", "5.2", "5.3", "6.1", "6.2", "6.3", "7.1", "7.2"):
        assert "`hali_tf/" in rows[section][2] and "`tests/" in rows[section][3], section


def test_the_walk_through_the_code_has_three_parts_of_at_most_eight_stops():
    text = (ROOT / "BUILD.md").read_text(encoding="utf-8")
    walk = text.partition("## A walk through the code\n")[2].partition("\n## ")[0]
    numbers = [int(number) for number in re.findall(r"^(\d+)\. `", walk, re.MULTILINE)]
    assert numbers.count(1) == 3 and max(numbers) <= 8


def commands():
    """(page, program, arguments) of each command of the project, in pages and heads of configs."""
    texts = [(name_of(page), text) for page in PAGES for text in blocks(page)]
    for config in sorted((ROOT / "configs").glob("*.cfg")):
        head = [line[1:] for line in config.read_text("utf-8").splitlines() if line[:1] == "#"]
        texts.append((name_of(config), "\n".join(head)))
    found = []
    for name, text in texts:
        for line in text.replace("\\\n", " ").splitlines():
            match = _PROGRAM.search(line)
            if match:
                arguments = shlex.split(line[match.end() :].rstrip("&"), comments=True)
                found.append((name, match[1] or match[2], arguments))
    return found


def commands_of(program):
    found = [arguments for _, name, arguments in commands() if name == program]
    return [arguments for arguments in found if arguments != ["--help"]]


# Reads lists of arguments, and parses each by the flags that the program defines. Of configurations
# it asks also whether the values can work together.
_PARSE = """
import json, runpy, sys
from absl import flags
from hali_tf import command, config

def parse(main, description, positional=False):
    for arguments in json.load(sys.stdin):
        flags.FLAGS.unparse_flags()
        for name in flags.FLAGS:
            flags.FLAGS[name].unparse()
        rest = flags.FLAGS(["program", *arguments])[1:]
        assert positional or not rest, f"{arguments}: {rest} are no flags"
        if sys.argv[1] == "hali_tf.train":
            config.from_flags(config.Config)

command.run = parse
runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=False)
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_commands_have_flags_that_exist(program):
    asked = commands_of(program)
    assert asked
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, program],
        cwd=ROOT,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", OTHER_PROGRAMS)
def test_other_commands_have_flags_that_their_help_lists(program):
    asked = commands_of(program)
    start = [program] if program.endswith(".py") else ["-m", program]
    verbs = {words[0] for words in asked if words and not words[0].startswith("-")}
    texts = []
    for verb in [[], *([verb] for verb in sorted(verbs))]:
        done = subprocess.run(
            [sys.executable, *start, *verb, "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        texts.append(done.stdout + done.stderr)
    listed = set(re.findall(r"--(?:\[no\])?(\w+)", " ".join(texts)))
    used = {word[2:].partition("=")[0] for words in asked for word in words if word[:2] == "--"}
    assert used <= listed
    assert all(re.search(rf"\b{verb}\b", texts[0]) for verb in verbs)


def flags_of(program):
    """Names of the flags that `--help` of a program lists."""
    start = [program] if program.endswith(".py") else ["-m", program]
    done = subprocess.run(
        [sys.executable, *start, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--(?:\[no\])?(\w+)", done.stdout))


def test_flags_in_the_text_exist():
    known = set.union(*map(flags_of, [*PROGRAMS, "serving.server"])) | {"help", "flagfile"}
    known |= {"all", "cov", "logdir", "period"}  # of scripts/test.sh, TensorBoard, scripts/soak.py
    for page in PAGES:
        if page.parent.name == "serving" or page.name == "CHANGELOG.md":
            continue  # flags of the stock server, and of earlier versions
        named = {
            flag for span in re.findall(r"`([^`]+)`", prose(page)) for flag in _FLAG.findall(span)
        }
        assert named <= known, name_of(page)


def test_every_flag_of_training_is_explained():
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert flags_of("hali_tf.train") <= set(re.findall(r"--(\w+)", page))


def test_every_command_is_of_a_program_that_is_looked_at():
    assert {program for _, program, _ in commands()} <= {*PROGRAMS, *OTHER_PROGRAMS}


@pytest.fixture(scope="module")
def folder_with_a_run(tmp_path_factory):
    """A folder with runs/digits in it, a run of a tiny model without training."""
    folder = tmp_path_factory.mktemp("docs")
    make_run(folder / "runs" / "digits", width=0.01)
    return folder


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if p.parent.name != "serving" and blocks(p, "python")],
    ids=name_of,
)
def test_python_examples_run(page, folder_with_a_run, monkeypatch, capsys):
    monkeypatch.chdir(folder_with_a_run)
    names = {}
    for text in blocks(page, "python"):
        exec(compile(text, name_of(page), "exec"), names)


def columns(name):
    """Dict of column to floats, of a CSV file beside docs/celeba64.md."""
    with open(ROOT / "docs" / "celeba64" / name, encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == 40
    names = [column for column in rows[0] if column != "attribute"]
    return {column: [float(row[column]) for row in rows] for column in names}


@pytest.mark.parametrize(
    "name, in_summary",
    [
        (
            "attributes_balanced.csv",
            {
                "HALI seed_0 z_1": "80.6 [80.3, 81.0]",
                "HALI seed_1 z_2": "72.2 [71.7, 72.6]",
                "VAE, published": "81.28",
            },
        ),
        (
            "attributes_plain.csv",
            {
                "HALI seed_0 z_1": "83.0 [82.7, 83.3]",
                "ALI penalty": "62.0 [61.6, 62.4]",
                "VAE": "76.6 [76.3, 77.0]",
            },
        ),
        (
            "representation.csv",
            {
                "HALI seed_0 z_1": "76.6 [76.2, 77.0]",
                "ALI all_flags": "73.9 [73.5, 74.4]",
                "HALI, published": "83.75",
            },
        ),
    ],
)
def test_tables_of_attributes_have_the_means_of_the_summary(name, in_summary):
    page = (ROOT / "docs" / "celeba64.md").read_text(encoding="utf-8")
    for column, cell in in_summary.items():
        values = columns(name)[column]
        assert sum(values) / 40 == pytest.approx(float(cell.split()[0]), abs=0.06)
        assert f"| {cell} |" in page


def test_innovations_are_of_entries_of_the_top_latent():
    table = columns("innovation.csv")
    assert all(0 <= entry < 64 for entry in table["entry"])
    changed = table["changed, per cent"]
    assert sum(changed) / 40 == pytest.approx(25, abs=0.5)
    assert sum(table["changed along its axis, per cent"]) / 40 == pytest.approx(58, abs=0.5)
