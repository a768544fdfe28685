"""Whether samples are good, varied and new (the paper shows samples: section 5.1).

All distances are in the feature space of `hali_tf.measures.features`. The sets that are compared
have the same size. Held-out images are measured as well: a perfect model would reach their values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hali_tf.drawing import grids
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures import distributions, features

_COUNT = 10_000
_POOL = 50_000  # training images among which the nearest are searched
_BATCH = 128
_SHOWN, _COLUMNS, _NEIGHBOURS = 64, 8, 3
_FEWEST = 10
_METHOD = """\
{images:,} samples of each model, or held-out images, are compared with as many training images, in
{features}. The distances are those of FID (Heusel et al., 2017) and KID (Bińkowski et al., 2018),
but not in Inception's features: they can be compared within this table, and with no published
number. Precision and recall are those of Kynkäänniemi et al. (2019), k = 3. The last column is the
mean distance to the nearest of {training_images:,} training images."""


class Samples(Question):
    """Distances of samples to the data, and the training images nearest to them."""

    title = "Samples (section 5.1)"

    def unanswerable(self, context: Context) -> str | None:
        """Too few images to compare with."""
        if count(context) < _FEWEST:
            return f"fewer than {_FEWEST} training or held-out images, or a lower --limit"
        return None

    def answer(self, context: Context) -> dict:
        """The measures of each subject's samples and of held-out images; grids."""
        number, train = count(context), context.split("train").images
        order = np.random.default_rng(context.seed).permutation(len(train))[:_POOL]
        pool = _embed(context, train.__getitem__, order, "training images")
        parts = []
        for images in (context.split(name).images for name in ("test", "validation")):
            which = np.arange(min(number, len(images)))
            parts.append(_embed(context, images.__getitem__, which, "held-out images"))
        held_out = np.concatenate(parts)[:number]
        rows, pictures = {"held-out images": _measures(held_out, pool)}, {}
        seeds = context.seed * 2**32 + np.arange(max(number, _SHOWN))
        for subject in context.subjects:
            sample = subject.coder.sample
            embedded = _embed(context, sample, seeds[:number], f"samples of {subject.name}")
            rows[subject.name] = _measures(embedded, pool)
            shown = sample(seeds[:_SHOWN])
            _, found = distributions.nearest(features.embed(shown[:_COLUMNS]), pool, _NEIGHBOURS)
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
            "features": features.NAME,
            "rows": rows,
            "pictures": pictures,
        }

    def report(self, answer: dict) -> str:
        """The result in words, the table, the grids."""
        rows = [
            [
                name,
                row["frechet_distance"],
                1000 * row["kernel_distance"],
                row["precision"],
                row["recall"],
                row["nearest"],
            ]
            for name, row in answer["rows"].items()
        ]
        head = ["", "Fréchet distance", "kernel distance x 1000", "precision", "recall", "nearest"]
        pictures = [
            f"Samples of {name}; then the first of them, each above its {_NEIGHBOURS} nearest "
            f"training images:\n\n![Samples of {name}]({samples})\n\n"
            f"![Samples of {name} and their nearest training images]({nearest})"
            for name, (samples, nearest) in answer["pictures"].items()
        ]
        return markdown.page(
            in_words(answer["rows"]),
            _METHOD.format(**answer),
            markdown.table(head, rows),
            *pictures,
        )


def count(context: Context) -> int:
    """Size of the sets that are compared."""
    held_out = sum(len(context.split(name).images) for name in ("test", "validation"))
    return min(_COUNT, len(context.split("train").images), held_out, context.limit or _COUNT)


def _embed(
    context: Context, images_of: Callable[[np.ndarray], np.ndarray], which: np.ndarray, words: str
) -> np.ndarray:
    """float32 [len(which), D], in batches; `images_of` gives the images of a part of `which`."""
    parts = [which[i : i + _BATCH] for i in range(0, len(which), _BATCH)]
    return np.concatenate(
        [features.embed(images_of(part)).numpy() for part in context.progress(parts, words)]
    )


def _measures(embedded, pool):
    """Of vectors [N, D] against as many training images; `pool` is in random order."""
    reference = pool[: len(embedded)]
    precision, recall = distributions.precision_recall(reference, embedded)
    return {
        "frechet_distance": distributions.frechet_distance(reference, embedded),
        "kernel_distance": distributions.kernel_distance(reference, embedded),
        "precision": precision,
        "recall": recall,
        "nearest": float(distributions.nearest(embedded, pool)[0].mean()),
    }


def in_words(rows: dict[str, dict[str, float]]) -> str:
    """The result as sentences; `rows` holds the measures by label."""
    held_out = rows["held-out images"]
    models = {name: row for name, row in rows.items() if row is not held_out}
    sentences = [
        f"{name}: Fréchet distance {row['frechet_distance']:.3g} (held-out images "
        f"{held_out['frechet_distance']:.3g}), precision {row['precision']:.2f} "
        f"({held_out['precision']:.2f}), recall {row['recall']:.2f} ({held_out['recall']:.2f}), "
        f"mean distance to the nearest training image {row['nearest']:.2f} "
        f"({held_out['nearest']:.2f}; 0 for copies)."
        for name, row in models.items()
    ]
    if len(models) > 1:
        frechet, kernel = (
            min(models, key=lambda name: models[name][measure])
            for measure in ("frechet_distance", "kernel_distance")
        )
        sentences.append(f"Nearest to the data: {frechet} by Fréchet, {kernel} by kernel distance.")
    return " ".join(sentences)
