"""What each level holds (paper, section 6.2): single components multiplied, and decoded.

z_2 is drawn from the prior and decoded by the means, which gives z_1 as well, so the strips of both
levels vary the same images. A component is an entry of z_2, or a feature map of z_1 while z_2 is
fixed. The label y at the end of z_2 of a run that learns from labels is not multiplied: it is not
of the prior's Gaussian. The paper multiplies by scalars in a range whose ends did not survive in
the text at hand; they are read as -3 to 3 at the top and -4 to 4 below.

The paper's claim is that z_2 holds "high level variations like gender" and z_1 "local/pixelwise
changes such as saturation or lip color". It is measured by two shares of the energy of the image's
change, over all components and both ends of the range:
- what lies at frequencies of at most `CUTOFF` cycles per image (features a quarter of the image
  wide, or wider), which z_2 should have more of, as it is the global one;
- what one map of colours, the same for all pixels of an image, makes of it, which z_1 should have
  more of, as it is the pixelwise one.
A strong change drives pixels to black and white, which is flat, so that it counts as low and as
pixelwise. Therefore both shares are measured for changes of equal strength as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from hali_tf.drawing.plots import save_curves
from hali_tf.drawing.strips import Strips, save_strips
from hali_tf.evaluation import tables
from hali_tf.evaluation.claims import Finding, compared
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.evaluation.subjects import Subject
from hali_tf.measures.latents import scale
from hali_tf.measures.spectra import CUTOFF, beyond_colours, by_strength, spectrum
from hali_tf.models.coder import Coder
from hali_tf.progress import progress_bar

_SAMPLES = 16
_SHOWN_COMPONENTS, _SHOWN_SAMPLES = 4, 3
_TRIALS = 4  # to find the factor of a strength
_MEASURES = ("low", "pixelwise", "low_at_equal_strength", "pixelwise_at_equal_strength")
_METHOD = """\
Low frequencies: the share of the energy of the image's change that lies at up to {cutoff} cycles
per image (features a quarter of the image wide, or wider), over all components of a level, each
multiplied by both ends of its range, on {samples} samples. A map of z_1 is multiplied everywhere at
once; where that changes the tone of large areas, it counts as low frequency. The label y at the end
of z_2 of a run that learned from labels is left out. Pixelwise: the share that the best affine map
of an image's colours makes of the change; of a change of brightness or saturation that is all.
Strength is the RMS of the change on the scale [0, 1]. At equal strength: the factor of each
component is reduced until its strength is {strength:.3g}, the smallest of the levels' median
strengths (over what changes anything); weaker components are left out. In brackets 95 % intervals
by the bootstrap over samples."""


class Traversal(Question):
    """How global and how pixelwise the changes are that the components of each level make."""

    title = "What each level holds (section 6.2)"
    claims = {
        "low": "z_2 holds global variations: more low frequencies than z_1 (first reading)",
        "low_at_equal_strength": "... the same for changes of equal strength",
        "pixelwise": "z_1 holds pixelwise changes: colours alone make more of them than of z_2's "
        "(second reading)",
        "pixelwise_at_equal_strength": "... the same for changes of equal strength",
    }

    compares = False

    def answer(self, context: Context) -> dict:
        """For each level: the shares, the strongest components; figures."""
        coder = context.subject.coder
        shape = (_SAMPLES, *coder.latent_shapes[-1])
        z_top = np.random.default_rng(0).standard_normal(shape, np.float32)
        zs = coder.decode_latents(z_top)
        full, levels = [], {}
        for level, z in enumerate(zs, start=1):
            components = progress_bar(components_of(context.subject, level), f"traverse z_{level}")
            spectra, beyond = _energies(coder, z, level, components)
            full.append((spectra, beyond))
            levels[f"z_{level}"] = described = _described(coder, level, spectra, beyond)
            strongest = [row["component"] for row in described["strongest"]]
            page = strips(coder, z[:_SHOWN_SAMPLES], level, strongest)
            save_strips(context.path(f"traversal_z_{level}.png"), page)
        strength = min(_usual(_strengths(coder, spectra)) for spectra, _ in full)
        values: list[np.ndarray] = []
        for level, (z, (spectra, beyond)) in enumerate(zip(zs, full), start=1):
            reach: list[int] = []
            equal = np.zeros_like(spectra[:1]), np.zeros_like(beyond[:1])
            if strength:  # else a level changes nothing, and there is nothing to compare with
                reach = np.flatnonzero(_strengths(coder, spectra) >= strength).tolist()
                components = progress_bar(reach, f"weaken z_{level}")
                equal = _energies(coder, z, level, components, strength)
            levels[f"z_{level}"]["equal_components"] = len(reach)
            values.append(np.concatenate([_pooled(spectra, beyond), _pooled(*equal)], axis=1))
        curves = {name: described["share_up_to"] for name, described in levels.items()}
        save_curves(
            context.path("traversal_spectrum.png"),
            {"share of the energy of the change": curves},
            range(len(curves["z_1"])),
            "cycles per image, at most",
        )
        return {
            "samples": _SAMPLES,
            "cutoff": CUTOFF,
            "strength": strength,
            "levels": levels,
            **tables.measured(list(levels), np.stack(values, axis=1), _shares, _MEASURES),
        }

    def report(self, answer: dict) -> str:
        """The result in words, the table, the figures."""
        words = ", ".join(
            f"{name} {_cell(answer, name, 'low')} and {_cell(answer, name, 'pixelwise')}, at equal "
            f"strength {_cell(answer, name, 'low_at_equal_strength')} and "
            f"{_cell(answer, name, 'pixelwise_at_equal_strength')}"
            for name in answer["levels"]
        )
        head = ["level", "components", "range", "low frequencies", "pixelwise"]
        head += ["components that reach the strength", "low at equal strength"]
        return markdown.page(
            "Of the changes that single components make, the shares of low frequencies and of one "
            f"map of colours for the whole image: {words}.",
            _METHOD.format(**answer),
            markdown.table(
                [*head, "pixelwise at equal strength", "strongest (strength, low, pixelwise)"],
                [_row(answer, name) for name in answer["levels"]],
            ),
            "![share of the energy by frequency](traversal_spectrum.png)",
            "The strongest components of each level on the same samples, the sample itself last:",
            *(f"![{name}](traversal_{name}.png)" for name in answer["levels"]),
        )

    def findings(self, answer: dict) -> dict[str, Finding]:
        """Of the top level's components and those of z_1, by both readings."""
        bottom, top = list(answer["levels"])[0], list(answer["levels"])[-1]
        return {
            name: compared(
                answer,
                *((top, bottom) if name.startswith("low") else (bottom, top)),
                name,
                form=".1%",
            )
            for name in self.claims
            if top != bottom
        }


def _energies(coder, z, level, components, strength=None):
    """Energy of the change that each component makes of each sample, both ends together.

    Arguments as of `varied`. Returns float64 [components, N, K] by frequency, see `spectrum`, and
    [components, N] of what is beyond colours.
    """
    spectra, beyond = [], []
    for before, after in varied(coder, z, level, components, strength):
        both = len(before) // len(z), len(z)
        found = spectrum(after - before)
        spectra.append(found.reshape(*both, -1).sum(axis=0))
        beyond.append(beyond_colours(before, after).reshape(both).sum(axis=0))
    return np.stack(spectra), np.stack(beyond)


def _strengths(coder, spectra):
    """RMS of the change that each component makes, of energies [components, N, K]."""
    pixels = 2 * spectra.shape[1] * np.prod(coder.image_shape)
    return np.sqrt(spectra.sum(axis=(1, 2)) / pixels)


def _usual(strengths):
    """The median of those that are above 0; 0 where none is."""
    changing = strengths[strengths > 0]
    return float(np.median(changing)) if len(changing) else 0.0


def _pooled(spectra, beyond):
    """Low, whole, and beyond colours: energies of all components, [N, 3]."""
    low = spectra[..., : CUTOFF + 1].sum(axis=(0, 2))
    return np.stack([low, spectra.sum(axis=(0, 2)), beyond.sum(axis=0)], axis=1)


def _shares(means):
    """`_MEASURES` of means [..., 6] over `_pooled` at full and at equal strength."""
    low, whole, beyond = np.moveaxis(means.reshape(*means.shape[:-1], 2, 3), -1, 0)
    shares = [tables.divided(part, whole) for part in (low, whole - beyond)]
    return np.stack(shares, axis=-1).reshape(*means.shape[:-1], 4)


def _described(coder, level, spectra, beyond):
    """A level's part of the answer, of the energies of its components."""
    strengths = _strengths(coder, spectra)
    whole = spectra.sum(axis=(0, 1))
    strongest = []
    for k in by_strength(spectra.sum(axis=1))[:_SHOWN_COMPONENTS]:
        energies = np.concatenate([_pooled(spectra[[k]], beyond[[k]])] * 2, axis=1)
        low, pixelwise, *_ = np.nan_to_num(_shares(energies.mean(axis=0)))
        strongest.append(
            {
                "component": int(k),
                "rms_change": float(strengths[k]),
                "low": float(low),
                "pixelwise": float(pixelwise),
            }
        )
    return {
        "components": len(spectra),
        "scalars": scalars(level, coder.num_levels).tolist(),
        "share_up_to": (whole.cumsum() / max(whole.sum(), 1e-12)).tolist(),
        "strongest": strongest,
    }


def _cell(answer, name, measure):
    return markdown.cell(answer["rows"][name], measure, ".1%")


def _row(answer, name):
    """A level's row of the table."""
    level = answer["levels"][name]
    strongest = ", ".join(
        f"{k['component']} ({k['rms_change']:.3f}, {k['low']:.0%}, {k['pixelwise']:.0%})"
        for k in level["strongest"]
    )
    return [
        name,
        level["components"],
        f"{level['scalars'][0]:g} to {level['scalars'][-1]:g}",
        *(_cell(answer, name, measure) for measure in _MEASURES[:2]),
        level["equal_components"],
        *(_cell(answer, name, measure) for measure in _MEASURES[2:]),
        strongest,
    ]


def components_of(subject: Subject, level: int) -> range:
    """The components of z_l; of the top level without y, the label that a run may have at its end.

    Args:
      subject: the model.
      level: l.
    """
    coder = subject.coder
    y = subject.config.labels.classes if level == coder.num_levels else 0  # 0 without labels
    return range(coder.latent_shapes[level - 1][-1] - y)


def scalars(level: int, top: int) -> np.ndarray:
    """The factors of the strips of a level, float64 [7] or [9]; `top` is L."""
    end = 3 if level == top else 4
    return np.linspace(-end, end, 2 * end + 1)


def varied(
    coder: Coder,
    z: np.ndarray,
    level: int,
    components: Iterable[int],
    strength: float | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields, for each component, images before and after it was multiplied.

    Args:
      coder: of the model.
      z: z_l, float32 [N, *latent].
      level: l.
      components: their numbers.
      strength: if given, the factors are so much nearer to 1 that the RMS of the change, of all
        images and both ends of the range, is about this; components that do not reach it stay.

    Yields:
      Two float64 [2N, H, W, C], on the scale [0, 1]: the unchanged images twice, and those of one
      end of the range and of the other.
    """
    ends = scalars(level, coder.num_levels)[[0, -1]]
    before = np.concatenate([coder.decode(z, level) / 255] * len(ends))

    def changed(component, share):
        factors = 1 + share * (ends - 1)
        return np.concatenate([coder.decode(scale(z, component, f), level) for f in factors]) / 255

    for component in components:
        share, after = 1.0, changed(component, 1.0)
        for _ in range(_TRIALS if strength else 0):
            found = np.sqrt(np.mean(np.square(after - before)))
            share = min(1.0, share * (strength or 0) / max(found, 1e-12))
            after = changed(component, share)
        yield before, after


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
