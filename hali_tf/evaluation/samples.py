"""Whether samples are good, varied and new (the paper shows samples: section 5.1).

All distances are in the feature space of `hali_tf.measures.features`, or in that of the published
Inception network where the user has it. The sets that are compared have the same size. Held-out
images are measured as well: a perfect model would reach their values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from hali_tf.drawing import grids
from hali_tf.evaluation.claims import Finding, above, compared, kind_of, roles
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question, identity_of_weights
from hali_tf.evaluation.report import markdown
from hali_tf.measures import distributions, features, inception, intervals
from hali_tf.progress import progress_bar

_COUNT = 10_000
_POOL = 50_000  # training images among which the nearest are searched
_BATCH = 128
_SHOWN, _COLUMNS, _NEIGHBOURS = 64, 8, 3
_FEWEST = 10
_MARGIN = 0.05  # of ALI's distance; no number of images shows that equal models are no worse
_METHOD = """\
{images:,} samples of each model, or held-out images, are compared with as many training images, in
{features}. {distances} Precision and recall are those of
Kynkäänniemi et al. (2019), k = 3. The last column is the mean distance to the nearest of
{training_images:,} training images. In brackets 95 % intervals: of both distances by the jackknife,
of precision and recall by how they differ between random halves of both sets, and of the last
column by the bootstrap over images."""
_HELD_OUT = "held-out images"
_TABLE = {
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "nearest": "nearest",
}

_FID = """\
So the distances are FID (Heusel et al., 2017) and KID (Bińkowski et al., 2018); published ones have
their own numbers of images and splits, and FID falls with the number of images."""
_NOT_FID = """\
The distances are those of FID (Heusel et al., 2017) and KID (Bińkowski et al., 2018), but not in
Inception's features: they can be compared within this table, and with no published number."""


class Samples(Question):
    """Distances of samples to the data, and the training images nearest to them."""

    title = "Samples (section 5.1)"
    claims = {
        "ALI": "Samples are no worse than ALI's "
        f"(Fréchet distance at most {100 * _MARGIN:.0f} % higher)"
    }
    beyond = ("ALI",)

    def inputs(self, context: Context) -> dict:
        """Which network there is and when it was made.

        Raises:
          UserError: it cannot be used.
        """
        return {"feature_weights": identity_of_weights(context.feature_weights, inception.load)}

    def unanswerable(self, context: Context) -> str | None:
        """Too few images to compare with."""
        if count(context) < _FEWEST:
            return f"fewer than {_FEWEST} training or held-out images, or a lower --limit"
        return None

    def answer(self, context: Context) -> dict:
        """The measures of each subject's samples and of held-out images; grids."""
        number, train_split = count(context), context.split("train")
        train = train_split.images
        published = bool(context.feature_weights)
        embed = inception.load(context.feature_weights) if published else features.embed
        order = train_split.draw(number if published else _POOL)  # that network takes its time
        pool = _embed(embed, train.__getitem__, order, "training images")
        held_out = _held_out(context, embed, number)
        reference, pictures = pool[:number], {}
        rows, without = {}, {}
        rows[_HELD_OUT], _ = _measures(held_out, reference, pool)
        seeds = np.arange(max(number, _SHOWN))
        for subject in context.subjects:
            sample = subject.coder.sample
            embedded = _embed(embed, sample, seeds[:number], f"samples of {subject.name}")
            rows[subject.name], without[subject.name] = _measures(embedded, reference, pool)
            shown = sample(seeds[:_SHOWN])
            _, found = distributions.nearest(embed(shown[:_COLUMNS]), pool, _NEIGHBOURS)
            neighbours = [train[order[of_rank]] for of_rank in found.T]
            pictures[subject.name] = [f"samples_{subject.slug}.png", f"nearest_{subject.slug}.png"]
            drawn = (
                grids.grid(shown, _COLUMNS),
                grids.reconstruction_grid(shown[:_COLUMNS], neighbours, _COLUMNS),
            )
            for name, picture in zip(pictures[subject.name], drawn):
                grids.save_png(context.path(name), picture)
        return {
            "images": number,
            "training_images": len(pool),
            "features": inception.NAME if published else features.NAME,
            "distances": _FID if published else _NOT_FID,
            "labels": context.labels,
            "rows": rows,
            "differences": _differences(rows, without),
            "pictures": pictures,
        }

    def report(self, answer: dict) -> str:
        """The result in words, the table, the grids."""
        rows = [
            [name, *(_cell(row, measure) for measure in _TABLE)]
            for name, row in answer["rows"].items()
        ]
        pictures = [
            f"Samples of {name}; then the first of them, each above its {_NEIGHBOURS} nearest "
            f"training images:\n\n![Samples of {name}]({samples})\n\n"
            f"![Samples of {name} and their nearest training images]({nearest})"
            for name, (samples, nearest) in answer["pictures"].items()
        ]
        return markdown.page(
            in_words(answer["rows"]),
            _METHOD.format(**answer),
            markdown.table(["", *_TABLE.values()], rows),
            *pictures,
        )

    def headline(self, answer: dict) -> dict[str, dict[str, float]]:
        """The Fréchet distances."""
        rows = answer["rows"].items()
        return {"Fréchet distance": {label: row["frechet_distance"] for label, row in rows}}

    def findings(self, answer: dict) -> dict[str, Finding]:
        """By the difference of the Fréchet distances and the margin."""
        own, *others = answer["labels"]
        ali = [name for name in others if kind_of(name) == "ALI"]
        if not ali or not roles(answer["labels"]):
            return {}
        found = compared(answer, own, ali[0], "frechet_distance", sign=-1)
        margin = _MARGIN * answer["rows"][ali[0]]["frechet_distance"]
        interval = found.interval and [end + margin for end in found.interval]
        return {"ALI": above(found.figure, interval)}


def count(context: Context) -> int:
    """Size of the sets that are compared."""
    held_out = sum(len(context.split(name).images) for name in ("test", "validation"))
    return min(_COUNT, len(context.split("train").images), held_out, context.limit or _COUNT)


def _embed(
    embed: Callable[[np.ndarray], tf.Tensor],
    images_of: Callable[[np.ndarray], np.ndarray],
    which: np.ndarray,
    words: str,
) -> np.ndarray:
    """float32 [len(which), D], in batches; `images_of` gives the images of a part of `which`."""
    parts = [which[i : i + _BATCH] for i in range(0, len(which), _BATCH)]
    return np.concatenate([embed(images_of(part)).numpy() for part in progress_bar(parts, words)])


def _held_out(context, embed, number):
    """Vectors of test images and, where these are too few, of validation images; in random order.

    A file reads positions that rise in one go. But groups of every k-th of them, which the
    jackknife leaves out, could be single classes, so the vectors are shuffled. The seed is not that
    of `Split.draw`, by which two splits of one size would have their classes in the same order.
    """
    test, validation = (context.split(name) for name in ("test", "validation"))
    parts = [test.draw(number), validation.draw(max(0, number - len(test.images)))]
    vectors = [
        _embed(embed, split.images.__getitem__, np.sort(which), _HELD_OUT)
        for split, which in zip((test, validation), parts)
        if len(which)
    ]
    return np.random.default_rng(1).permutation(np.concatenate(vectors))


def _measures(embedded, reference, pool):
    """(row, Fréchet distance without each group of images) of vectors [N, D].

    `reference` are as many training images, `pool` all of them.
    """
    frechet = distributions.frechet_distance(reference, embedded)
    without = intervals.left_out(distributions.frechet_distance, reference, embedded)
    kernel, without_each = distributions.kernel_distance(reference, embedded)
    shares = {
        "precision": distributions.share_inside(embedded, reference),
        "recall": distributions.share_inside(reference, embedded),
    }
    nearest = distributions.nearest(embedded, pool)[0][:, 0]
    row = {
        "frechet_distance": frechet,
        "kernel_distance": kernel,
        **{name: share for name, (share, _) in shares.items()},
        "nearest": float(nearest.mean()),
        "intervals": {
            "frechet_distance": intervals.jackknife(frechet, without),
            "kernel_distance": intervals.jackknife(kernel, without_each),
            **{name: intervals.by_halves(*share) for name, share in shares.items()},
            "nearest": intervals.bootstrap(nearest).tolist(),
        },
    }
    return row, without


def _differences(rows, without):
    """Of the Fréchet distances, as `tables.measured` has differences."""
    found, names = {}, list(without)
    for i, own in enumerate(names):
        found[own] = {}
        for other in names[i + 1 :]:
            value = rows[own]["frechet_distance"] - rows[other]["frechet_distance"]
            ends = intervals.jackknife(value, without[own] - without[other])
            found[own][other] = {"frechet_distance": {"value": value, "interval": ends}}
    return found


def _cell(row, measure):
    return markdown.cell(row, measure, "#.3g")


def in_words(rows: dict[str, dict[str, Any]]) -> str:
    """The result as sentences; `rows` holds the measures by label."""
    held_out = rows[_HELD_OUT]
    return " ".join(
        f"{name}: Fréchet distance {_cell(row, 'frechet_distance')} (held-out images "
        f"{held_out['frechet_distance']:.3g}), precision {row['precision']:.2f} "
        f"({held_out['precision']:.2f}), recall {row['recall']:.2f} ({held_out['recall']:.2f}), "
        f"mean distance to the nearest training image {row['nearest']:.2f} "
        f"({held_out['nearest']:.2f}; 0 for copies)."
        for name, row in rows.items()
        if name != _HELD_OUT
    )
