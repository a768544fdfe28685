"""What each level holds (paper, section 6.2): single components multiplied, and decoded.

z_2 is drawn from the prior and decoded by the means, z_1 on the way among them; so the strips of
both levels vary the same images. A component is an entry of z_2, or a feature map of z_1 while z_2
stays fixed. The paper multiplies by scalars in a range whose ends did not survive in the text at
hand; they are read as -3 to 3 at the top and -4 to 4 below.

The paper's claim, z_2 global and z_1 local, as a number: how much of the energy of the image's
change, over all components at both ends of the range, lies at frequencies of at most `CUTOFF`
cycles an image: features a quarter of the image wide, or wider.
"""

import numpy as np

from hali_tf.evaluation import figures, markdown, plots
from hali_tf.evaluation.latents import Coder, scale

TITLE = "What each level holds (section 6.2)"
CUTOFF = 2  # cycles an image
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
        spectra = effects(coder, z, level, components)
        strongest = by_strength(spectra)[:_SHOWN_COMPONENTS]
        pixels = 2 * _SAMPLES * np.prod(coder.image_shape)
        result["levels"][f"z_{level}"] = {
            "components": z.shape[-1],
            "scalars": scalars(level, top).tolist(),
            "low_frequency_share": low_frequency_share(spectra),
            "share_up_to": (spectra.sum(0).cumsum() / max(spectra.sum(), 1e-12)).tolist(),
            "strongest": [
                {
                    "component": int(k),
                    "rms_change": float(np.sqrt(spectra[k].sum() / pixels)),
                    "low_frequency_share": low_frequency_share(spectra[k]),
                }
                for k in strongest
            ],
        }
        rows, columns, labels = strips(coder, z[:_SHOWN_SAMPLES], level, strongest)
        plots.save_strips(context.path(f"traversal_z_{level}.png"), rows, columns, labels)
    shares = [level["low_frequency_share"] for level in result["levels"].values()]
    result["higher_levels_are_more_global"] = (
        all(low < high for low, high in zip(shares, shares[1:])) if top > 1 else None
    )
    curves = {name: level["share_up_to"] for name, level in result["levels"].items()}
    figures.save_curves(
        context.path("traversal_spectrum.png"), {"share of the energy of the change": curves},
        range(len(curves["z_1"])), "cycles an image, at most",
    )  # fmt: skip
    return result


def report(answer):
    """Markdown."""
    shares = {name: level["low_frequency_share"] for name, level in answer["levels"].items()}
    first = ", ".join(f"{share:.1%} for {name}" for name, share in shares.items())
    holds = answer["higher_levels_are_more_global"]
    claim = "" if holds is None else (
        " The paper's claim, higher levels global and lower ones local, "
        f"{'holds' if holds else 'does not hold'} by this measure."
    )  # fmt: skip
    rows = [
        [name, level["components"], f"{level['scalars'][0]:g} to {level['scalars'][-1]:g}",
         f"{level['low_frequency_share']:.1%}",
         ", ".join(f"{k['component']} ({k['rms_change']:.3f}, {k['low_frequency_share']:.0%})"
                   for k in level["strongest"])]
        for name, level in answer["levels"].items()
    ]  # fmt: skip
    parts = [
        f"Share of low frequencies in what single components change: {first}.{claim}",
        f"Of the energy of the image's change, what lies at up to {answer['cutoff']} cycles an "
        "image (features a quarter of the image wide, or wider); over all components of a level, "
        f"each multiplied by both ends of its range, on {answer['samples']} samples. A map of z_1 "
        "is multiplied everywhere at once: where that changes the tone of large areas, it counts "
        "as low frequency. Strength is the RMS of the change on the scale [0, 1].",
        markdown.table(
            ["level", "components", "range", "low frequencies", "strongest (strength, low)"], rows
        ),
        "![share of the energy by frequency](traversal_spectrum.png)",
        "The strongest components of each level on the same samples, the sample itself last:",
        *(f"![{name}](traversal_{name}.png)" for name in answer["levels"]),
    ]
    return "\n\n".join(parts)


def scalars(level, top):
    """The factors of a level's strips, float64 [7] or [9]."""
    end = 3 if level == top else 4
    return np.linspace(-end, end, 2 * end + 1)


def effects(coder, z, level, components):
    """How each component changes the images.

    Args:
      coder: `latents.Coder`.
      z: z_l, float32 [N, *latent].
      level: l.
      components: iterable of their numbers.

    Returns:
      float64 [components, K]: energy of the change by frequency, see `spectrum`, summed over the
      images and both ends of the range.
    """
    unchanged = coder.decode(z, level) / np.float32(255)
    ends = scalars(level, coder.num_levels)[[0, -1]]

    def effect(component):
        changed = [coder.decode(scale(z, component, end), level) for end in ends]
        return spectrum(np.concatenate([images / np.float32(255) - unchanged for images in changed]))

    return np.stack([effect(component) for component in components])


def spectrum(differences):
    """Energy by frequency.

    Args:
      differences: [N, H, W, C], of images on the scale [0, 1].

    Returns:
      float64 [K]: at k, the sum of squares of the part whose two-dimensional frequency, the length
      of its vector in cycles an image, is above k - 1 and at most k. All sum to the sum of squares
      of `differences` (Parseval).
    """
    height, width = differences.shape[1:3]
    power = np.abs(np.fft.fft2(differences, axes=(1, 2), norm="ortho")) ** 2
    cycles = np.hypot(
        np.fft.fftfreq(height, 1 / height)[:, np.newaxis], np.fft.fftfreq(width, 1 / width)
    )
    return np.bincount(np.ceil(cycles).astype(int).ravel(), power.sum(axis=(0, 3)).ravel())


def by_strength(spectra):
    """Numbers of the components, the one of the largest energy of change first."""
    return np.argsort(-spectra.sum(axis=-1), kind="stable")


def low_frequency_share(spectra):
    """Share of the energy at up to `CUTOFF` cycles an image; 0 where nothing changes.

    Args:
      spectra: [..., K], of `spectrum`; pooled.
    """
    total = spectra.sum()
    return float(spectra[..., : CUTOFF + 1].sum() / total) if total else 0.0


def strips(coder, z, level, components):
    """For each component and image, the images at each scalar, and the unchanged one last.

    Args:
      coder: `latents.Coder`.
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
