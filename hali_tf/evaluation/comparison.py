"""Several trainings side by side: losses, errors and distances, from what the runs wrote down.

Runs that differ in nothing but their seed are one group: its curve is their mean, within a band
from the lowest to the highest of them.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from hali_tf import files
from hali_tf.config import Config
from hali_tf.drawing.plots import Curves, save_bands
from hali_tf.errors import UsageError, UserError, reason, writing
from hali_tf.evaluation.report import markdown
from hali_tf.evaluation.report.html import write_html
from hali_tf.runs import metrics_file
from hali_tf.runs.history import weights_of

_METHOD = """\
Runs that differ in nothing but the seed are one row: the mean, and in brackets the lowest and the
highest of them. Errors are per-pixel RMSE of reconstructions of test images and distances those
under the discriminator (Equation 8) of validation images at the last evaluation, both divided by
that between random pairs of images. A dash: not measured in every run of the row, or not compared,
as a note below the table says."""
_NOT_COMPARED = """\
{column}: not compared, since the evaluations of {runs} differ in {differing}. Evaluate each of
them anew by one version of the code, on the same images and with the same flags
(`python -m hali_tf.evaluate --run_dir=RUN --only=samples`)."""
_CURVES = """\
Losses are means since the last logged step; errors and distances are of validation images and
divided by those of random pairs. A band is from the lowest to the highest of the runs that differ
in the seed alone, and the line is their mean, at the steps that all of them have."""
# Of what an evaluation was asked of, all that its distances depend on besides the model.
_DEPENDENCIES = {
    "hali_tf": "the version of hali_tf",
    "code": "the code of the measures",
    "images": "the images",
    "feature_weights": "the file of `--feature_weights`",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder says of a training.

    Attributes:
      run_dir: the folder.
      config: its configuration.
      losses: [{"step", name: value}], of each logged step.
      evaluations: the same of each evaluation, the ratios to random pairs included.
      final: numbers at the end by their name in a table; those that were measured.
      asked_of: what those of an evaluation depend on (`_DEPENDENCIES`), by the same name.
    """

    run_dir: str
    config: Config
    losses: list[dict[str, float]]
    evaluations: list[dict[str, float]]
    final: dict[str, float]
    asked_of: dict[str, dict[str, Any]]


def compare(run_dirs: Sequence[str]) -> str:
    """Writes comparison/report.md, report.html and curves.png beside the first run.

    Args:
      run_dirs: folders of two or more runs on the same images.

    Returns:
      Path of the HTML page.

    Raises:
      UserError: a folder is no run, or of other images, or the page cannot be written.
    """
    real_paths = {files.real_path(path) for path in run_dirs}
    if len(real_paths) != len(run_dirs) or len(run_dirs) < 2:
        raise UsageError(
            f"--compare={','.join(run_dirs)}: expected two or more different folders of runs"
        )
    runs = [_open(run_dir) for run_dir in run_dirs]
    for run in runs[1:]:
        own, theirs = (one.config.data.image_flags() for one in (runs[0], run))
        if own != theirs:
            raise UserError(
                f"--compare: {run.run_dir} has {theirs}, {runs[0].run_dir} has {own}; name runs on "
                "the same images"
            )
    folder = os.path.join(os.path.dirname(files.real_path(run_dirs[0])), "comparison")
    path = os.path.join(folder, "report.html")
    with writing(folder):
        files.make_folder(folder)
        text = _page(folder, _grouped(runs))
        files.write_text(os.path.join(folder, "report.md"), text + "\n")
        write_html(path, text)
    return path


def _open(run_dir):
    try:
        return _read(run_dir)
    except UserError as error:
        raise UserError(f"--compare: {error}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"--compare: {run_dir}: summary.json, metrics.jsonl or evaluation/samples.json is "
            f"damaged ({error}); remove it, and the comparison leaves its numbers out"
        ) from error
    except OSError as error:
        raise UserError(
            f"--compare: {error.filename or run_dir}: cannot be read ({reason(error)})"
        ) from error


def _read(run_dir):
    config = Config.from_file(os.path.join(run_dir, "config.json"))
    lines = metrics_file.read_run(run_dir)
    evaluations = [_with_ratios(line) for line in lines if "rmse_1" in line]
    summary = files.read_json(os.path.join(run_dir, "summary.json"), {})
    if lines and summary.get("step") != lines[-1]["step"]:  # of an earlier end of this training
        summary = {}
    final = {
        **_numbered(summary, "ratio", "error, level {}"),
        **_numbered(evaluations[-1] if evaluations else {}, "distance", "distance, level {}"),
    }
    distance, asked_of = _of_samples(run_dir, lines[-1]["step"]) if lines else ({}, {})
    losses = [line for line in lines if "rmse_1" not in line]
    return Run(run_dir, config, losses, evaluations, {**final, **distance}, asked_of)


def _of_samples(run_dir, step):
    """(Fréchet distance, what it depends on) by its name; empty if it is of other weights."""
    samples = files.read_json(os.path.join(run_dir, "evaluation", "samples.json"))
    asked_of = samples["asked_of"] if samples else {"subjects": [{}]}
    own = asked_of["subjects"][0]
    if not weights_of(run_dir, step).items() <= own.items():
        return {}, {}
    answer = samples["answer"]
    # It depends on the number of samples, and on the features.
    features = "FID" if answer["features"].startswith("Inception") else "Fréchet distance"
    name = f"{features} of {answer['images']:,} samples"
    distance = answer["rows"][own["name"]]["frechet_distance"]
    return {name: distance}, {name: {key: asked_of.get(key) for key in _DEPENDENCIES}}


def _with_ratios(line):
    """An evaluation with distance_l, the perceptual distance divided by that of random pairs."""
    pairs = line.get("perceptual_pairs")
    distances = _numbered(line, "perceptual", "distance_{}") if pairs else {}
    return {**line, **{name: value / pairs for name, value in distances.items()}}


def _numbered(values, prefix, name):
    """The values of prefix_l, l = 1, 2, ..., under the name with l in it."""
    found = ((re.fullmatch(rf"{prefix}_(\d+)", key), value) for key, value in values.items())
    return {name.format(match[1]): value for match, value in found if match}


def _grouped(runs):
    """Dict of a group's name to its runs, in the order of the runs."""
    by_flags = collections.defaultdict(list)
    for run in runs:
        by_flags[str({**_flags(run), "seed": None})].append(run)
    groups = list(by_flags.values())
    names = [_name(group) for group in groups]
    if len(set(names)) < len(names):
        names = [", ".join(run.run_dir for run in group) for group in groups]
    return dict(zip(names, groups))


def _flags(run):
    return {**run.config.hyperparameters(), "steps": run.config.optimisation.steps}


def _name(group):
    """Of one run its folder; of several what their folders' names begin with."""
    folders = [os.path.basename(os.path.normpath(run.run_dir)) for run in group]
    if len(folders) == 1:
        return folders[0]
    common = re.sub(r"[\W_]*(seed)?[\W_]*$", "", os.path.commonprefix(folders))
    seeds = {run.config.run.seed for run in group}
    return f"{common or folders[0]}, {len(folders)} {'seeds' if len(seeds) > 1 else 'runs'}"


def _page(folder, groups):
    """The page as Markdown; draws the figure that it shows."""
    runs = [run for group in groups.values() for run in group]
    flags = [_flags(run) for run in runs]
    differing = [flag for flag in flags[0] if len({str(values[flag]) for values in flags}) > 1]
    rows = [
        [name, run.run_dir, *(str(_flags(run)[flag]) for flag in differing), _last_step(run)]
        for name, group in groups.items()
        for run in group
    ]
    measured = sorted({column for run in runs for column in run.final})
    columns = [
        c
        for kind in ("error", "distance", "Fréchet", "FID")
        for c in measured
        if c.startswith(kind)
    ]
    notes = {c: note for c in columns if (note := _not_compared(runs, c))}
    drawn = save_bands(os.path.join(folder, "curves.png"), _panels(groups))
    return markdown.page(
        f"# Comparison of {len(runs)} runs",
        "## At the end",
        _METHOD,
        markdown.table(
            ["", *columns],
            [
                [name, *(None if c in notes else _range(group, c) for c in columns)]
                for name, group in groups.items()
            ],
        ),
        *notes.values(),
        "## During training" if drawn else "",
        _CURVES if drawn else "",
        "![Losses, errors and distances by step](curves.png)" if drawn else "",
        "## The runs",
        "The flags in which they differ, and the last step that they logged or evaluated.",
        markdown.table(["", "run", *(f"--{flag}" for flag in differing), "step"], rows),
    )


def _last_step(run):
    return max((line["step"] for line in run.losses + run.evaluations), default=0)


def _not_compared(runs, column):
    """Why the numbers of a column cannot be compared; "" if they can."""
    evaluated = [run for run in runs if column in run.asked_of]
    differing = [
        words
        for key, words in _DEPENDENCIES.items()
        if any(run.asked_of[column][key] != evaluated[0].asked_of[column][key] for run in evaluated)
    ]
    if not differing:
        return ""
    return _NOT_COMPARED.format(
        column=column,
        runs=", ".join(run.run_dir for run in evaluated),
        differing=", ".join(differing),
    )


def _range(group, column):
    """A cell: the mean, the lowest and the highest of a group; None if one has no value."""
    values = [run.final.get(column) for run in group]
    if None in values:
        return None
    ends = [min(values), max(values)] if len(values) > 1 else None
    return markdown.with_interval(float(np.mean(values)), ends)


def _panels(groups):
    """Label of each panel to name of each group to its curves."""
    runs = [run for group in groups.values() for run in group]
    losses = {n: n for run in runs for line in run.losses for n in line if _is_loss(n)}
    evaluated = {n for run in runs for line in run.evaluations for n in line}
    names = [
        *((name, name, "losses") for name in losses),
        *(
            (name, f"{words} / random pairs, level {name[-1]}", "evaluations")
            for prefix, words in (("ratio_", "error"), ("distance_", "distance"))
            for name in sorted(evaluated)
            if name.startswith(prefix)
        ),
    ]
    return {
        label: {group: _curves(groups[group], lines, name) for group in groups}
        for name, label, lines in names
    }


def _is_loss(name):
    return "_loss" in name or name == "elbo"


def _curves(group, lines, name):
    """The values of a group at the steps that all its runs have."""
    of_runs = [
        {line["step"]: line[name] for line in getattr(run, lines) if name in line} for run in group
    ]
    steps = sorted(set.intersection(*map(set, of_runs)))
    return Curves(steps, np.array([[values[step] for step in steps] for values in of_runs]))
