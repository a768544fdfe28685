"""Measures what the options of a configuration cost a train step; prints a Markdown table.

  python scripts/option_costs.py --flagfile=configs/celeba64_small.cfg
  python scripts/option_costs.py --flagfile=configs/svhn_small.cfg --options=cycle_contrast

The flags are those of hali_tf.train. A row is the same step without one of --options, and the last
without any. All take --rounds steps on random images, in turn and in one process, so that other
work on the machine meets all alike. Milliseconds are medians, "the option costs" is the median over
the rounds of the ratio of both steps, and its interval holds 95 % of the medians of 2,000 bootstrap
samples of the rounds. On a machine with other work start it with `taskset -c 0`.
"""

from __future__ import annotations

import os
import sys
import time

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.architectures import ARCHITECTURES
from hali_tf.config import Config
from hali_tf.errors import UsageError
from hali_tf.progress import progress_bar
from scripts.benchmarking import jobs

_WARM_UP = 3  # steps: the first ones trace and allocate


def main() -> None:
    """Builds a model for each row, measures their steps in turn, prints a table."""
    flags.FLAGS["dry_run"].value = True  # nothing is written, so no --run_dir is needed
    config = configuration.from_flags(Config)
    configuration.check("rounds", flags.FLAGS.rounds, {"above": 0})
    if config.labels.per_class:
        raise UsageError(
            f"--labels_per_class={config.labels.per_class}: expected 0, no labels in training"
        )
    variants = _variants(config)
    command.import_tensorflow()
    times = _measure(list(variants.values()), flags.FLAGS.rounds)
    _print(list(variants), times)


def _variants(config):
    """The config by name: as it is, without each option, and without all of them."""
    defaults = Config().flat()
    given = flags.FLAGS.options
    unknown = [name for name in given if name not in defaults]
    if unknown:
        raise UsageError(f"--options={','.join(given)}: hali_tf.train has no --{unknown[0]}")
    names = [name for name in given if config.flat()[name] != defaults[name]]
    if not names:
        raise UsageError(f"--options={','.join(given)}: the configuration sets none of these")
    found = {"the configuration": config}
    for name in names:
        found[f"without `--{name}`"] = config.replace(**{name: defaults[name]}).validate()
    if len(names) > 1:
        off = {name: defaults[name] for name in names}
        found["without all of these"] = config.replace(**off).validate()
    return found


def _measure(configs, rounds):
    """Seconds of steps, float64 [rounds, variants]."""
    import numpy as np
    import tensorflow as tf

    from hali_tf.training import devices
    from hali_tf.training.fit import build

    strategy = tf.distribute.get_strategy()
    steps = []
    for config in configs:
        own = ARCHITECTURES[config.model.architecture].image[-1]
        config = devices.resolve_auto(config.replace(channels=config.data.channels or own))
        model = build(config, strategy)
        steps.append(jobs.step_of(model, config.optimisation.batch_size, strategy)[1])
    times = np.empty((_WARM_UP + rounds, len(steps)))
    for row in progress_bar(times, "steps of each variant", unit="step"):
        for column, step in enumerate(steps):
            start = time.perf_counter()
            step()
            row[column] = time.perf_counter() - start
    return times[_WARM_UP:]


def _print(names, times):
    import numpy as np
    from scipy import stats

    print("| | ms a step | the option costs, times the step without it |\n|---|---|---|")
    for column, name in enumerate(names):
        cost = ""
        if column:
            ratios = times[:, 0] / times[:, column]
            low, high = stats.bootstrap(
                (ratios,), np.median, n_resamples=2000, method="percentile", random_state=0
            ).confidence_interval
            cost = f"{np.median(ratios):.2f} [{low:.2f}, {high:.2f}]"
        print(f"| {name} | {np.median(times[:, column]) * 1e3:.0f} | {cost} |")


if __name__ == "__main__":
    configuration.define_flags(Config, "hali_tf.train")
    configuration.define(
        "hali_tf.option_costs",
        options=(
            [
                "hybrid_joints",
                "gradient_penalty",
                "cycle_latents",
                "cycle_contrast",
                "image_discriminator",
                "latent_moments",
            ],
            "Flags of hali_tf.train; those that the configuration leaves at their default are "
            "passed over.",
        ),
        rounds=(30, "Steps of each variant that count."),
    )
    command.run(main, __doc__)
