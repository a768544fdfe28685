"""How well each level reconstructs (paper, section 5.1): RMSE, SSIM, feature distance."""

from __future__ import annotations

import functools

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from hali_tf.drawing import grids
from hali_tf.evaluation import tables
from hali_tf.evaluation.claims import Finding, above, compared, roles
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question, identity_of_weights
from hali_tf.evaluation.report import markdown
from hali_tf.measures import features, intervals, lpips, scores
from hali_tf.measures.reconstruction import compare, partners
from hali_tf.measures.spectra import CUTOFF, spectrum
from hali_tf.progress import progress_bar

_BATCH = 128
_SHOWN = 16
_PAIRS = "random pairs of images"
_MEASURES = {
    "rmse": "RMSE",
    "rmse_ratio": "/ random pairs",
    "ssim": "SSIM",
    "feature_distance": "feature distance",
    "feature_distance_ratio": "/ random pairs",
    "low_frequency_share": "low frequencies",
    "lpips": "LPIPS",  # where its weights are given
}
_METHOD = """\
{images:,} test images, by the means of all levels; in brackets 95 % intervals by the bootstrap over
images. Each image is in two random pairs, of which the bootstrap knows one: intervals of random
pairs are too narrow, on faces 0.84 of what they should be. RMSE is per pixel, of values in [0, 1];
the ratio to random pairs is BiGAN's (Donahue et al., 2017). SSIM is that of Wang et al. (2004), 1
for equal images. The feature distance, which the paper does not have, has the form of LPIPS (Zhang
et al., 2018) but not its network: it is taken in {features}. Low frequencies: the share of the
squared error at up to {cutoff} cycles per image, large for a global difference and small for local
ones."""
_LPIPS = "LPIPS is that of Zhang et al. (2018), with their VGG16, version 0.1; 0 for equal images."

_CLASSES = """\
The class of {of_images:.1%} of the images is that of most of their {neighbours} nearest training
images in the same features. Of these images, the reconstructions by the run's top level are
assigned to it as well in {value:.1%} [{interval[0]:.1%}, {interval[1]:.1%}], the mean over the
classes, where chance is {chance:.1%}."""
_NEIGHBOURS, _POOL = 5, 10_000  # training images


class Reconstruction(Question):
    """RMSE, SSIM and feature distance of each level of each model, beside random pairs."""

    title = "Reconstruction (section 5.1)"
    claims = {
        "pixels": "Reconstructions from z_1 are nearer to the image than ALI's (by RMSE)",
        "features": "Reconstructions from z_1 look more like the image than ALI's (by LPIPS where "
        "its weights are given, else by feature distance)",
        "levels": "Reconstructions from z_1 are nearer to the image than those from z_2",
        "local": "Reconstructions from z_1 differ locally, those from z_2 globally (by the share "
        "of low frequencies in the error)",
        "class": "Reconstructions from z_2 are more often than not of the image's own class",
    }

    def inputs(self, context: Context) -> dict:
        """Which file of LPIPS' weights there is, if any.

        Raises:
          UserError: it cannot be used.
        """
        return {"lpips_weights": identity_of_weights(context.lpips_weights, lpips.load)}

    def answer(self, context: Context) -> dict:
        """Measures of each level of each subject and of random pairs of test images; a grid."""
        test = context.split("test")
        images, pictured = test.images, test.part(_SHOWN).images
        partner = partners(len(images))
        parts = np.array_split(np.arange(len(images)), -(-len(images) // _BATCH))
        of_pairs = functools.partial(
            _of_pairs, lpips.load(context.lpips_weights) if context.lpips_weights else None
        )
        values, shown = {}, []
        for subject in context.subjects:
            reconstruct = subject.coder.reconstruct
            for label, level in subject.levels():
                bar = progress_bar(parts, f"reconstruct, {label}")
                values[label] = np.concatenate(
                    [of_pairs(images[part], reconstruct(images[part], level)) for part in bar]
                )
                shown.append(reconstruct(pictured, level))
        values[_PAIRS] = np.concatenate(
            [of_pairs(images[part], images[partner[part]]) for part in parts]
        )
        table = tables.measured(
            list(values),
            np.stack(list(values.values()), axis=1),
            _measures,
            list(_MEASURES) if context.lpips_weights else list(_MEASURES)[:-1],
        )
        picture = grids.reconstruction_grid(pictured, shown)
        grids.save_png(context.path("reconstruction.png"), picture)
        return {
            "images": len(images),
            "features": features.NAME,
            "labels": context.labels,
            "random_pairs": table["rows"].pop(_PAIRS),
            **table,
            "same_class": _same_class(context),
        }

    def report(self, answer: dict) -> str:
        """The result in words, the table, the grid."""
        names = [name for name in _MEASURES if name in answer["random_pairs"]]
        rows = [
            [label, *(markdown.cell(row, name) for name in names)]
            for label, row in {**answer["rows"], _PAIRS: answer["random_pairs"]}.items()
        ]
        return markdown.page(
            in_words(answer["rows"]),
            _METHOD.format(cutoff=CUTOFF, **answer),
            _LPIPS if "lpips" in names else "",
            markdown.table(["", *(_MEASURES[name] for name in names)], rows),
            _CLASSES.format(**answer["same_class"]) if answer["same_class"] else "",
            f"Originals, and below each {', '.join(answer['rows'])}:",
            "![Reconstructions](reconstruction.png)",
        )

    def headline(self, answer: dict) -> dict[str, dict[str, float]]:
        """The errors relative to random pairs."""
        rows = answer["rows"].items()
        return {"RMSE / random pairs": {label: row["rmse_ratio"] for label, row in rows}}

    def findings(self, answer: dict) -> dict[str, Finding]:
        """By the differences of the rows."""
        role = roles(answer["labels"])
        looks = "lpips" if "lpips" in answer["random_pairs"] else "feature_distance"
        found = {
            "pixels": ("ALI", "rmse"),
            "features": ("ALI", looks),
            "levels": ("z_2", "rmse"),
            "local": ("z_2", "low_frequency_share"),
        }
        findings = {
            key: compared(answer, role["z_1"], role[other], measure, sign=-1)
            for key, (other, measure) in found.items()
            if other in role
        }
        if answer["same_class"] and role:
            share, ends = answer["same_class"]["value"], answer["same_class"]["interval"]
            findings["class"] = above(f"{share:.0%}", [end - 0.5 for end in ends])
        return findings


def _same_class(context):
    """How often the top level's reconstructions are assigned to their image's class.

    Of the images that the classifier assigns correctly, so that its own mistakes are not the
    model's, and as the mean over classes, so that one image for all is not of the most frequent
    class.
    """
    test, train = context.split("test"), context.split("train")
    if context.source.multi_label or test.labels is None or train.labels is None:
        return None
    order = train.draw(_POOL)
    coder = context.subject.coder
    neighbours = KNeighborsClassifier(min(_NEIGHBOURS, len(order)), algorithm="brute")
    embedded = _embedded(train.images, order, np.asarray)
    neighbours.fit(embedded, np.asarray(train.labels)[order])

    def predicted(which, change):
        return neighbours.predict(_embedded(test.images, which, change))

    everything, truth = np.arange(len(test.images)), np.asarray(test.labels)
    right = np.flatnonzero(predicted(everything, np.asarray) == truth)
    if not len(right):
        return None
    of_rebuilt = predicted(right, lambda images: coder.reconstruct(images, coder.num_levels))
    classes = np.unique(truth[right])
    values = scores.recalls(truth[right, np.newaxis], of_rebuilt[:, np.newaxis], classes)
    share = scores.balanced(values.mean(axis=0)) / 100
    return {
        "value": float(share[0]),
        "interval": (intervals.bootstrap(values, scores.balanced)[:, 0] / 100).tolist(),
        "of_images": len(right) / len(truth),
        "chance": 1 / len(classes),
        "neighbours": _NEIGHBOURS,
    }


def _embedded(images, which, change):
    """Features of the images of these numbers, changed in batches."""
    parts = np.array_split(which, -(-len(which) // _BATCH))
    return np.concatenate([features.embed(change(images[part])) for part in parts])


def _of_pairs(perceptual, a, b):
    """What `_measures` is computed from, float64 [B, 5], of two uint8 arrays [B, H, W, C].

    [B, 6] with LPIPS, if `perceptual` is a function that computes it.
    """
    compared = compare(a, b)
    energy = spectrum((b.astype(np.float64) - a) / 255)
    columns = [compared[name] for name in ("mse", "ssim", "feature_distance")]
    columns += [energy[:, : CUTOFF + 1].sum(axis=1), energy.sum(axis=1)]
    return np.stack([*columns, *([perceptual(a, b)] if perceptual else [])], axis=1)


def _measures(means):
    """`_MEASURES` of means [..., R, 5 or 6] over `_of_pairs`; the last row is of random pairs."""
    mse, ssim, distance, low, energy, *further = np.moveaxis(means, -1, 0)
    rmse = np.sqrt(mse)
    ratios = [tables.divided(x, x[..., -1:]) for x in (rmse, distance)]
    shares = tables.divided(low, energy)
    return np.stack([rmse, ratios[0], ssim, distance, ratios[1], shares, *further], axis=-1)


def in_words(rows: dict[str, dict]) -> str:
    """The result as a sentence; `rows` holds measures by label."""
    errors = ", ".join(f"{label} {markdown.cell(row, 'rmse')}" for label, row in rows.items())
    return f"Per-pixel RMSE: {errors}."
