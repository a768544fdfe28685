"""How well each level reconstructs (paper, section 5.1): RMSE, SSIM, feature distance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hali_tf.drawing import grids
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures import features
from hali_tf.measures.reconstruction import compare

_BATCH = 128
_SHOWN = 16
_METHOD = """\
{images:,} test images, by the means of all levels. RMSE is per pixel, of values in [0, 1]; the
ratio to random pairs is BiGAN's (Donahue et al., 2017). SSIM is that of Wang et al. (2004), 1 for
equal images. The feature distance, which the paper does not have, has the form of LPIPS (Zhang et
al., 2018) but not its network: it is taken in {features}."""


class Reconstruction(Question):
    """RMSE, SSIM and feature distance of each level of each model, beside random pairs."""

    title = "Reconstruction (section 5.1)"

    def answer(self, context: Context) -> dict:
        """Measures of each level of each subject and of random pairs of test images; a grid."""
        images = context.split("test").images
        order = np.random.default_rng(context.seed).permutation(len(images))
        # Each with the one before it in a random order, as in `random_pairs`.
        pairs = _means(
            (images[order[part]], images[order[part - 1]]) for part in _parts(len(images))
        )
        rows, shown = {}, []
        for subject in context.subjects:
            reconstruct = subject.coder.reconstruct
            for label, level in subject.levels():
                parts = context.progress(_parts(len(images)), f"reconstruct, {label}")
                means = _means((images[part], reconstruct(images[part], level)) for part in parts)
                rows[label] = {**means, **_ratios(means, pairs)}
                shown.append(reconstruct(images[:_SHOWN], level))
        picture = grids.reconstruction_grid(images[:_SHOWN], shown)
        grids.save_png(context.path("reconstruction.png"), picture)
        return {
            "images": len(images),
            "features": features.NAME,
            "rows": rows,
            "random_pairs": pairs,
            "picture": "reconstruction.png",
        }

    def report(self, answer: dict) -> str:
        """The result in words, the table, the grid."""
        columns = ("rmse", "rmse_ratio", "ssim", "feature_distance", "feature_distance_ratio")
        pairs = {**answer["random_pairs"], "rmse_ratio": 1.0, "feature_distance_ratio": 1.0}
        rows = [
            [label, *(row[name] for name in columns)]
            for label, row in {**answer["rows"], "random pairs of images": pairs}.items()
        ]
        head = ["", "RMSE", "/ random pairs", "SSIM", "feature distance", "/ random pairs"]
        return markdown.page(
            in_words(answer["rows"]),
            _METHOD.format(**answer),
            markdown.table(head, rows),
            f"Originals, and below each {', '.join(answer['rows'])}:",
            f"![Reconstructions]({answer['picture']})",
        )


def _parts(count):
    return np.array_split(np.arange(count), -(-count // _BATCH))


def _means(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Means of `compare` over batches of pairs, with the root of the "mse" as "rmse"."""
    measured = [compare(a, b) for a, b in pairs]
    means = {
        name: float(np.mean(np.concatenate([batch[name] for batch in measured])))
        for name in measured[0]
    }
    return {"rmse": float(np.sqrt(means.pop("mse"))), **means}


def _ratios(means, pairs):
    """Of means to those of random pairs; None where these are 0."""
    return {
        f"{name}_ratio": means[name] / pairs[name] if pairs[name] else None
        for name in ("rmse", "feature_distance")
    }


def in_words(rows: dict[str, dict]) -> str:
    """The result as sentences; `rows` holds measures by label."""
    errors = ", ".join(f"{label} {row['rmse']:.4f}" for label, row in rows.items())
    sentence = f"Per-pixel RMSE: {errors}."
    if len(rows) == 1:
        return sentence
    nearest = {
        "RMSE": min(rows, key=lambda label: rows[label]["rmse"]),
        "SSIM": max(rows, key=lambda label: rows[label]["ssim"]),
        "feature distance": min(rows, key=lambda label: rows[label]["feature_distance"]),
    }
    if len(set(nearest.values())) == 1:
        return f"{sentence} {nearest['RMSE']} is nearest to the originals by every measure."
    by = ", ".join(f"{label} by {name}" for name, label in nearest.items())
    return f"{sentence} Nearest to the originals: {by}."
