"""Whether samples are good, varied and new (beyond the paper, which shows them: section 5.1).

All distances are in the feature space of `hali_tf.measures.features`. The sets compared have one
size, and held-out images stand beside the samples as what a perfect model would reach.
"""

import numpy as np
import tensorflow as tf

from hali_tf.drawing import grids
from hali_tf.evaluation.report import markdown
from hali_tf.measures import distributions, features

TITLE = "Samples (section 5.1)"

_COUNT = 10_000
_POOL = 50_000  # training images among which the nearest are looked for
_BATCH = 128
_SHOWN, _COLUMNS, _NEIGHBOURS = 64, 8, 3
_FEWEST = 10


def unanswerable(context):
    """Why samples cannot be measured, or None."""
    if _count(context) < _FEWEST:
        return f"fewer than {_FEWEST} training or held-out images, or a lower --limit"
    return None


def _count(context):
    """Size of the sets that are compared."""
    held_out = sum(len(context.split(name).images) for name in ("test", "validation"))
    return min(_COUNT, len(context.split("train").images), held_out, context.limit or _COUNT)


def answer(context):
    """Grids, nearest training images and the measures, for each subject and the held-out images."""
    count, train = _count(context), context.split("train").images
    order = np.random.default_rng(context.seed).permutation(len(train))[:_POOL]
    pool = _embed(context, train.__getitem__, order, "training images")
    held_out = np.concatenate(
        [
            _embed(
                context, images.__getitem__, np.arange(min(count, len(images))), "held-out images"
            )
            for images in (context.split(name).images for name in ("test", "validation"))
        ]
    )[:count]
    rows, pictures = {"held-out images": _measures(held_out, pool)}, {}
    for subject in context.subjects:
        draw, seeds = _sampler(subject.model), context.seed * 2**32 + np.arange(count)
        embedded = _embed(context, draw, seeds, f"samples of {subject.name}")
        rows[subject.name] = _measures(embedded, pool)
        shown = draw(context.seed * 2**32 + np.arange(_SHOWN))
        _, positions = distributions.nearest(features.embed(shown[:_COLUMNS]), pool, _NEIGHBOURS)
        neighbours = [train[order[of_rank]] for of_rank in positions.T]
        pictures[subject.name] = [f"samples_{subject.slug}.png", f"nearest_{subject.slug}.png"]
        drawn = (
            grids.grid(shown, _COLUMNS),
            grids.reconstruction_grid(shown[:_COLUMNS], neighbours, _COLUMNS),
        )
        for name, picture in zip(pictures[subject.name], drawn):
            grids.save_png(context.path(name), picture)
    return {
        "images": count,
        "training_images": len(pool),
        "features": features.NAME,
        "rows": rows,
        "pictures": pictures,
    }


def _sampler(model):
    """Function from seeds, int64 [B], to uint8 [B, H, W, C]."""
    sample = tf.function(model.sample, reduce_retracing=True)
    return lambda seeds: sample(tf.constant(seeds, tf.int64)).numpy()


def _embed(context, images_of, which, words):
    """float32 [len(which), D], by batches; `images_of` gives the images of a part of `which`."""
    parts = [which[i : i + _BATCH] for i in range(0, len(which), _BATCH)]
    return np.concatenate(
        [features.embed(images_of(part)).numpy() for part in context.progress(parts, words)]
    )


def _measures(embedded, pool):
    """Of vectors [N, D] against as many training images; the pool's order is a random one."""
    reference = pool[: len(embedded)]
    precision, recall = distributions.precision_recall(reference, embedded)
    return {
        "frechet_distance": distributions.frechet_distance(reference, embedded),
        "kernel_distance": distributions.kernel_distance(reference, embedded),
        "precision": precision,
        "recall": recall,
        "nearest": float(distributions.nearest(embedded, pool)[0].mean()),
    }


def report(answer):
    """Markdown."""
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
    parts = [
        in_words(answer["rows"]),
        f"{answer['images']:,} samples of each model, or held-out images, against as many training "
        f"images, in {answer['features']}. The distances are those of FID (Heusel et al., 2017) and "
        "KID (Bińkowski et al., 2018), but not in Inception's features: they compare within this "
        "table, with no published number. Precision and recall are those of Kynkäänniemi et al. "
        "(2019), k = 3. The last column is the mean distance to the nearest of "
        f"{answer['training_images']:,} training images.",
        markdown.table(head, rows),
    ]
    for name, (samples, nearest) in answer["pictures"].items():
        parts += [
            f"Samples of {name}; then some of them, each above its {_NEIGHBOURS} nearest training "
            "images:",
            f"![Samples of {name}]({samples})",
            f"![Samples of {name} and their nearest training images]({nearest})",
        ]
    return "\n\n".join(parts)


def in_words(rows):
    """The result as sentences."""
    held_out = rows["held-out images"]
    models = {name: row for name, row in rows.items() if row is not held_out}
    sentences = [
        f"{name}: Fréchet distance {row['frechet_distance']:.3g} (held-out images "
        f"{held_out['frechet_distance']:.3g}), precision {row['precision']:.2f} "
        f"({held_out['precision']:.2f}), recall {row['recall']:.2f} ({held_out['recall']:.2f}), "
        f"mean distance to the nearest training image {row['nearest']:.2f} "
        f"({held_out['nearest']:.2f}; of copies 0)."
        for name, row in models.items()
    ]
    if len(models) > 1:
        frechet, kernel = (
            min(models, key=lambda name: models[name][measure])
            for measure in ("frechet_distance", "kernel_distance")
        )
        sentences.append(f"Nearest to the data: {frechet} by Fréchet, {kernel} by kernel distance.")
    return " ".join(sentences)
