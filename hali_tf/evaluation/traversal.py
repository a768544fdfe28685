"""What each level holds (paper, section 6.2): single components multiplied, and decoded.

z_2 is drawn from the prior and decoded by the means, which gives z_1 as well, so the strips of both
levels vary the same images. A component is an entry of z_2, or a feature map of z_1 while z_2 is
fixed. The paper multiplies by scalars in a range whose ends did not survive in the text at hand;
they are read as -3 to 3 at the top and -4 to 4 below.

The paper's claim is that z_2 holds "high level variations like gender" and z_1 "local/pixelwise
changes such as saturation or lip color". It is measured by two shares of the energy of the image's
change, over all components and both ends of the range:
- what lies at frequencies of at most `CUTOFF` cycles per image (features a quarter of the image
  wide, or wider), which z_2 should have more of, as it is the global one;
- what one map of colours, the same for all pixels of an image, makes of it, which z_1 should have
  more of, as it is the pixelwise one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from hali_tf.drawing.plots import save_curves
from hali_tf.drawing.strips import Strips, save_strips
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures.latents import scale
from hali_tf.measures.spectra import (
    CUTOFF,
    beyond_colours,
    by_strength,
    low_frequency_share,
    pixelwise_share,
    spectrum,
)
from hali_tf.models.coder import Coder

_SAMPLES = 8
_SHOWN_COMPONENTS, _SHOWN_SAMPLES = 4, 3
_METHOD = """\
Low frequencies: the share of the energy of the image's change that lies at up to {cutoff} cycles
per image (features a quarter of the image wide, or wider), over all components of a level, each
multiplied by both ends of its range, on {samples} samples. A map of z_1 is multiplied everywhere at
once; where that changes the tone of large areas, it counts as low frequency. Pixelwise: the share
that the best affine map of an image's colours makes of the change; of a change of brightness or
saturation that is all. Strength is the RMS of the change on the scale [0, 1]."""


class Traversal(Question):
    """How global and how pixelwise the changes are that the components of each level make."""

    title = "What each level holds (section 6.2)"

    def answer(self, context: Context) -> dict:
        """For each level: the two shares, the strongest components; figures."""
        coder = context.subject.coder
        top, shape = coder.num_levels, (_SAMPLES, *coder.latent_shapes[-1])
        z_top = np.random.default_rng(context.seed).standard_normal(shape, np.float32)
        levels = {}
        for level, z in enumerate(coder.decode_latents(z_top, top), start=1):
            components = context.progress(range(z.shape[-1]), f"traverse z_{level}")
            levels[f"z_{level}"] = measured = _measure(coder, z, level, components)
            strongest = [row["component"] for row in measured["strongest"]]
            page = strips(coder, z[:_SHOWN_SAMPLES], level, strongest)
            save_strips(context.path(f"traversal_z_{level}.png"), page)
        curves = {name: measured["share_up_to"] for name, measured in levels.items()}
        save_curves(
            context.path("traversal_spectrum.png"),
            {"share of the energy of the change": curves},
            range(len(curves["z_1"])),
            "cycles per image, at most",
        )
        return {
            "samples": _SAMPLES,
            "cutoff": CUTOFF,
            "levels": levels,
            "higher_levels_are_more_global": _increases(levels, "low_frequency_share", 1),
            "lower_levels_are_more_pixelwise": _increases(levels, "pixelwise_share", -1),
        }

    def report(self, answer: dict) -> str:
        """The result in words, the table, the figures."""
        more_global = _claim(answer["higher_levels_are_more_global"], "higher levels more global")
        more_pixelwise = _claim(
            answer["lower_levels_are_more_pixelwise"], "lower levels more pixelwise"
        )
        head = ["level", "components", "range", "low frequencies", "pixelwise"]
        return markdown.page(
            "Of the changes that single components make, low frequencies are "
            f"{_shares(answer, 'low_frequency')}{more_global}; one map of colours for the whole "
            f"image makes {_shares(answer, 'pixelwise')}{more_pixelwise}.",
            _METHOD.format(**answer),
            markdown.table(
                [*head, "strongest (strength, low, pixelwise)"],
                [_row(name, level) for name, level in answer["levels"].items()],
            ),
            "![share of the energy by frequency](traversal_spectrum.png)",
            "The strongest components of each level on the same samples, the sample itself last:",
            *(f"![{name}](traversal_{name}.png)" for name in answer["levels"]),
        )


def _measure(coder, z, level, components):
    """A level's part of the answer; arguments as of `varied`."""
    found = [
        (spectrum(after - before).sum(axis=0), beyond_colours(before, after).sum())
        for before, after in varied(coder, z, level, components)
    ]
    spectra, beyond = map(np.stack, zip(*found))
    pixels = 2 * len(z) * np.prod(coder.image_shape)
    return {
        "components": z.shape[-1],
        "scalars": scalars(level, coder.num_levels).tolist(),
        "low_frequency_share": low_frequency_share(spectra),
        "pixelwise_share": pixelwise_share(spectra, beyond),
        "share_up_to": (spectra.sum(0).cumsum() / max(spectra.sum(), 1e-12)).tolist(),
        "strongest": [
            {
                "component": int(k),
                "rms_change": float(np.sqrt(spectra[k].sum() / pixels)),
                "low_frequency_share": low_frequency_share(spectra[k]),
                "pixelwise_share": pixelwise_share(spectra[k], beyond[k]),
            }
            for k in by_strength(spectra)[:_SHOWN_COMPONENTS]
        ],
    }


def _increases(levels, measure, sign):
    """Whether `sign` times a measure grows with the level; None where there is one level alone."""
    values = [sign * level[measure] for level in levels.values()]
    return all(low < high for low, high in zip(values, values[1:])) if len(values) > 1 else None


def _shares(answer, measure):
    return ", ".join(
        f"{level[f'{measure}_share']:.1%} for {name}" for name, level in answer["levels"].items()
    )


def _claim(holds, words):
    return "" if holds is None else f" ({words}: {'holds' if holds else 'does not hold'})"


def _row(name, level):
    """A level's row of the table."""
    strongest = ", ".join(
        f"{k['component']} ({k['rms_change']:.3f}, {k['low_frequency_share']:.0%}, "
        f"{k['pixelwise_share']:.0%})"
        for k in level["strongest"]
    )
    return [
        name,
        level["components"],
        f"{level['scalars'][0]:g} to {level['scalars'][-1]:g}",
        f"{level['low_frequency_share']:.1%}",
        f"{level['pixelwise_share']:.1%}",
        strongest,
    ]


def scalars(level: int, top: int) -> np.ndarray:
    """The factors of the strips of a level, float64 [7] or [9]; `top` is L."""
    end = 3 if level == top else 4
    return np.linspace(-end, end, 2 * end + 1)


def varied(
    coder: Coder, z: np.ndarray, level: int, components: Iterable[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields, for each component, images before and after it was multiplied.

    Args:
      coder: of the model.
      z: z_l, float32 [N, *latent].
      level: l.
      components: their numbers.

    Yields:
      Two float64 [2N, H, W, C], on the scale [0, 1]: the unchanged images twice, and those of one
      end of the range and of the other.
    """
    ends = scalars(level, coder.num_levels)[[0, -1]]
    before = np.concatenate([coder.decode(z, level) / 255] * len(ends))
    for component in components:
        after = [coder.decode(scale(z, component, end), level) for end in ends]
        yield before, np.concatenate(after) / 255


def effects(coder: Coder, z: np.ndarray, level: int, components: Iterable[int]) -> np.ndarray:
    """How each component changes the images; arguments as of `varied`.

    Returns:
      float64 [components, K]: energy of the change by frequency, see `spectrum`, summed over the
      images and both ends of the range.
    """
    pairs = varied(coder, z, level, components)
    return np.stack([spectrum(after - before).sum(axis=0) for before, after in pairs])


def strips(coder: Coder, z: np.ndarray, level: int, components: Iterable[int]) -> Strips:
    """For each component and image, the images at each scalar, and the unchanged one last.

    The rows of a component follow each other. Arguments as of `varied`.
    """
    factors = scalars(level, coder.num_levels)
    unchanged = coder.decode(z, level)
    rows = [
        np.stack([coder.decode(scale(z, k, f), level) for f in factors] + [unchanged], axis=1)
        for k in components
    ]
    labels = [f"z_{level}[{k}]" for k in components for _ in z]
    columns = [f"× {f:g}" for f in factors] + ["unchanged"]
    return Strips(np.concatenate(rows), columns, labels)
