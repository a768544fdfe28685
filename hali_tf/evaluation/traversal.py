"""What each level holds (paper, section 6.2): single components multiplied, and decoded.

z_2 is drawn from the prior and decoded by the means, z_1 on the way among them; so the strips of
both levels vary the same images. A component is an entry of z_2, or a feature map of z_1 while z_2
stays fixed. The paper multiplies by scalars in a range whose ends did not survive in the text at
hand; they are read as -3 to 3 at the top and -4 to 4 below.

The paper's claim is that z_2 holds "high level variations like gender" and z_1 "local/pixelwise
changes such as saturation or lip color". As numbers, of the energy of the image's change over all
components at both ends of the range:
- how much lies at frequencies of at most `CUTOFF` cycles an image (features a quarter of the image
  wide, or wider): z_2 global, z_1 local;
- how much one map of colours, the same for all pixels of an image, brings about: z_1 pixelwise.
"""

import numpy as np

from hali_tf.drawing.curves import save_curves
from hali_tf.drawing.strips import save_strips
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

TITLE = "What each level holds (section 6.2)"
_SAMPLES = 8
_SHOWN_COMPONENTS, _SHOWN_SAMPLES = 4, 3


def unanswerable(context):
    """Never: any decoder has components to vary."""
    del context


def answer(context):
    """For each level: the share of low frequencies, the strongest components; figures."""
    coder = Coder(context.subject.model)
    top, shape = coder.num_levels, (_SAMPLES, *coder.latent_shapes[-1])
    z_top = np.random.default_rng(context.seed).standard_normal(shape, np.float32)
    result = {"samples": _SAMPLES, "cutoff": CUTOFF, "levels": {}}
    for level, z in enumerate(coder.decode_latents(z_top, top), start=1):
        components = context.progress(range(z.shape[-1]), f"traverse z_{level}")
        spectra, beyond = map(
            np.stack,
            zip(
                *(
                    (spectrum(after - before), beyond_colours(before, after))
                    for before, after in varied(coder, z, level, components)
                )
            ),
        )
        strongest = by_strength(spectra)[:_SHOWN_COMPONENTS]
        pixels = 2 * _SAMPLES * np.prod(coder.image_shape)
        result["levels"][f"z_{level}"] = {
            "components": z.shape[-1],
            "scalars": scalars(level, top).tolist(),
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
                for k in strongest
            ],
        }
        rows, columns, labels = strips(coder, z[:_SHOWN_SAMPLES], level, strongest)
        save_strips(context.path(f"traversal_z_{level}.png"), rows, columns, labels)
    result["higher_levels_are_more_global"] = _increases(result["levels"], "low_frequency_share", 1)
    result["lower_levels_are_more_pixelwise"] = _increases(result["levels"], "pixelwise_share", -1)
    curves = {name: level["share_up_to"] for name, level in result["levels"].items()}
    save_curves(
        context.path("traversal_spectrum.png"),
        {"share of the energy of the change": curves},
        range(len(curves["z_1"])),
        "cycles an image, at most",
    )
    return result


def _increases(levels, measure, sign):
    """Whether `sign` times a measure grows with the level; None where there is one level alone."""
    values = [sign * level[measure] for level in levels.values()]
    return all(low < high for low, high in zip(values, values[1:])) if len(values) > 1 else None


def report(answer):
    """Markdown."""
    first = (
        f"Of what single components change, low frequencies are {_shares(answer, 'low_frequency')}"
        f"{_claim(answer['higher_levels_are_more_global'], 'higher levels more global')}; one map of "
        f"colours for the whole image makes {_shares(answer, 'pixelwise')}"
        f"{_claim(answer['lower_levels_are_more_pixelwise'], 'lower levels more pixelwise')}."
    )
    rows = [
        [
            name,
            level["components"],
            f"{level['scalars'][0]:g} to {level['scalars'][-1]:g}",
            f"{level['low_frequency_share']:.1%}",
            f"{level['pixelwise_share']:.1%}",
            ", ".join(
                f"{k['component']} ({k['rms_change']:.3f}, {k['low_frequency_share']:.0%}, "
                f"{k['pixelwise_share']:.0%})"
                for k in level["strongest"]
            ),
        ]
        for name, level in answer["levels"].items()
    ]
    parts = [
        first,
        "Low frequencies: of the energy of the image's change, what lies at up to "
        f"{answer['cutoff']} cycles an image (features a quarter of the image wide, or wider); "
        "over all components of a level, "
        f"each multiplied by both ends of its range, on {answer['samples']} samples. A map of z_1 "
        "is multiplied everywhere at once: where that changes the tone of large areas, it counts "
        "as low frequency. Pixelwise: what the best affine map of an image's colours makes of the "
        "change, as it would all of a change of brightness or saturation. Strength is the RMS of "
        "the change on the scale [0, 1].",
        markdown.table(
            [
                "level",
                "components",
                "range",
                "low frequencies",
                "pixelwise",
                "strongest (strength, low, pixelwise)",
            ],
            rows,
        ),
        "![share of the energy by frequency](traversal_spectrum.png)",
        "The strongest components of each level on the same samples, the sample itself last:",
        *(f"![{name}](traversal_{name}.png)" for name in answer["levels"]),
    ]
    return "\n\n".join(parts)


def _shares(answer, measure):
    return ", ".join(
        f"{level[f'{measure}_share']:.1%} for {name}" for name, level in answer["levels"].items()
    )


def _claim(holds, words):
    return "" if holds is None else f" ({words}: {'holds' if holds else 'does not hold'})"


def scalars(level, top):
    """The factors of a level's strips, float64 [7] or [9]."""
    end = 3 if level == top else 4
    return np.linspace(-end, end, 2 * end + 1)


def varied(coder, z, level, components):
    """Yields, for each component, images before and after it was multiplied.

    Args:
      coder: `models.coder.Coder`.
      z: z_l, float32 [N, *latent].
      level: l.
      components: iterable of their numbers.

    Yields:
      Two float64 [2N, H, W, C], on the scale [0, 1]: the unchanged images twice, and those of one
      end of the range and of the other.
    """
    ends = scalars(level, coder.num_levels)[[0, -1]]
    before = np.concatenate([coder.decode(z, level) / 255] * len(ends))
    for component in components:
        after = [coder.decode(scale(z, component, end), level) for end in ends]
        yield before, np.concatenate(after) / 255


def effects(coder, z, level, components):
    """How each component changes the images; arguments as of `varied`.

    Returns:
      float64 [components, K]: energy of the change by frequency, see `spectrum`, summed over the
      images and both ends of the range.
    """
    pairs = varied(coder, z, level, components)
    return np.stack([spectrum(after - before) for before, after in pairs])


def strips(coder, z, level, components):
    """For each component and image, the images at each scalar, and the unchanged one last.

    Args:
      coder: `models.coder.Coder`.
      z: z_l, float32 [N, *latent].
      level: l.
      components: their numbers.

    Returns:
      uint8 [rows, columns, H, W, C], headings of the columns, labels of the rows; the rows of a
      component follow each other.
    """
    factors = scalars(level, coder.num_levels)
    unchanged = coder.decode(z, level)
    rows = [
        np.stack(
            [coder.decode(scale(z, k, f), level) for f in factors] + [unchanged],
            axis=1,
        )
        for k in components
    ]
    labels = [f"z_{level}[{k}]" for k in components for _ in z]
    return np.concatenate(rows), [f"× {f:g}" for f in factors] + ["unchanged"], labels
