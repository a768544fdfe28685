"""How well each level reconstructs (paper, section 5.1): RMSE, SSIM, feature distance."""

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from hali_tf.data import batches
from hali_tf.evaluation import features, figures, markdown

TITLE = "Reconstruction (section 5.1)"

_BATCH = 128
_SHOWN = 16


def errors(model, split, limit=None, batch_size=128, progress=False):
    """Per-pixel RMSE of the reconstructions, and that of random pairs to hold it against.

    Args:
      model: `Autoencoder` or `Generative`.
      split: `Split` of held-out images.
      limit: use this many images, from the first; all by default.
      batch_size: images at a time.
      progress: whether to show a bar.

    Returns:
      Dict: "rmse_l" for each level l, on the scale [0, 1]; "random_pairs", the RMSE between each
      image and another one (BiGAN's measure, Donahue et al., arXiv 1605.09782); "ratio_l" =
      rmse_l / random_pairs, left out where all images are the same one.
    """
    reconstruct = tf.function(model.reconstruct, reduce_retracing=True)
    levels = range(1, model.num_levels + 1)
    squares, count = {l: 0.0 for l in levels}, 0
    for images in tqdm(batches(split, batch_size, limit), "reconstruct", disable=not progress):
        count += int(tf.size(images))
        for l in levels:
            squares[l] += _squared_error(images.numpy(), reconstruct(images, l).numpy())
    pairs = random_pairs(split.images[:limit])
    rmse = {f"rmse_{l}": float(np.sqrt(squares[l] / count)) for l in levels}
    ratios = {f"ratio_{l}": rmse[f"rmse_{l}"] / pairs for l in levels if pairs}
    return {**rmse, "random_pairs": pairs, **ratios}


def random_pairs(images, seed=0):
    """RMSE between each image and the next one in a random order, on the scale [0, 1]."""
    order = np.random.default_rng(seed).permutation(len(images))
    total = sum(
        _squared_error(images[i], images[j]) for i, j in zip(order, np.roll(order, 1))
    )
    return float(np.sqrt(total / images.size))


def _squared_error(a, b):
    """Sum of squared differences of two uint8 arrays on the scale [0, 1]."""
    return float(np.sum(((a.astype(np.float32) - b.astype(np.float32)) / 255) ** 2, dtype=np.float64))


def table(data, errors):
    """The numbers of `errors`, with their step, as lines for a person."""
    lines = [
        f"step {errors['step']}, {data}, held-out test images, averaged weights",
        f"  between random pairs of images  per-pixel RMSE {errors['random_pairs']:.4f}",
    ]
    levels = sorted(int(name[5:]) for name in errors if name.startswith("rmse_"))
    lines += [
        f"  reconstruction, level {l}         per-pixel RMSE {errors[f'rmse_{l}']:.4f}"
        + (f", {errors[f'ratio_{l}']:.3f} of that" if f"ratio_{l}" in errors else "")
        for l in levels
    ]
    return "\n".join(lines)


@tf.function
def compare(a, b):
    """Three measures of how unlike pairs of images are; float32 [B] each.

    Args:
      a, b: uint8 [B, H, W, C].

    Returns:
      Dict: "mse" on the scale [0, 1]; "ssim" (Wang et al., 2004; 11 x 11 Gaussian window, mean
      over the colour channels); "feature_distance", see `features.distance`.
    """
    difference = (tf.cast(a, tf.float32) - tf.cast(b, tf.float32)) / 255
    return {
        "mse": tf.reduce_mean(difference**2, axis=[1, 2, 3]),
        "ssim": tf.image.ssim(a, b, max_val=255),
        "feature_distance": features.distance(a, b),
    }


def unanswerable(context):
    """Every run can answer."""
    del context


def answer(context):
    """The measures of each level of each subject and of random pairs of test images; a grid."""
    images = context.split("test").images
    order = np.random.default_rng(context.seed).permutation(len(images))
    rows, shown = {}, []
    for subject in context.subjects:
        reconstruct = tf.function(subject.model.reconstruct, reduce_retracing=True)
        for label, level in subject.levels():
            rows[label] = _means(
                (images[part], reconstruct(images[part], level))
                for part in context.progress(_parts(len(images)), f"reconstruct, {label}")
            )
            shown.append(reconstruct(images[:_SHOWN], level).numpy())
    # Each with the one before it in a random order, as in `random_pairs`.
    pairs = _means((images[order[part]], images[order[part - 1]]) for part in _parts(len(images)))
    for row in rows.values():
        for name in ("rmse", "feature_distance"):
            row[f"{name}_ratio"] = row[name] / pairs[name] if pairs[name] else None
    picture = figures.reconstruction_grid(images[:_SHOWN], shown)
    figures.save_png(context.path("reconstruction.png"), picture)
    return {
        "images": len(images), "features": features.NAME, "rows": rows, "random_pairs": pairs,
        "picture": "reconstruction.png",
    }  # fmt: skip


def _parts(count):
    return np.array_split(np.arange(count), -(-count // _BATCH))


def _means(pairs):
    """Means of `compare` over batches of pairs, with the root of the "mse" as "rmse"."""
    measured = [compare(a, b) for a, b in pairs]
    means = {
        name: float(np.mean(np.concatenate([batch[name] for batch in measured])))
        for name in measured[0]
    }
    return {"rmse": float(np.sqrt(means.pop("mse"))), **means}


def report(answer):
    """Markdown."""
    columns = ("rmse", "rmse_ratio", "ssim", "feature_distance", "feature_distance_ratio")
    pairs = {**answer["random_pairs"], "rmse_ratio": 1.0, "feature_distance_ratio": 1.0}
    rows = [
        [label, *(row[name] for name in columns)]
        for label, row in {**answer["rows"], "random pairs of images": pairs}.items()
    ]
    head = ["", "RMSE", "/ random pairs", "SSIM", "feature distance", "/ random pairs"]
    return "\n\n".join([
        in_words(answer["rows"]),
        f"{answer['images']:,} test images, by the means of all levels. RMSE is per pixel, of values "
        "in [0, 1]; the ratio to random pairs is BiGAN's (Donahue et al., 2017). SSIM is that of Wang et "
        "al. (2004), 1 for equal images. The feature distance, beyond the paper, has the form of "
        f"LPIPS (Zhang et al., 2018) but not its network: it is taken in {answer['features']}.",
        markdown.table(head, rows),
        f"Originals, and below each {', '.join(answer['rows'])}:",
        f"![Reconstructions]({answer['picture']})",
    ])  # fmt: skip


def in_words(rows):
    """The result as sentences."""
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
