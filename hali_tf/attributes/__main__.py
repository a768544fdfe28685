"""Trains a classifier of attributes, which judges reconstructions.

python -m hali_tf.attributes --data=celeba --data_dir=DIR --out=FOLDER

trains a VGG16 on the training split; if it is stopped, the same command resumes from the last
checkpoint. python -m hali_tf.evaluate then takes --attribute_classifier=FOLDER. With
--encoder_of=RUN instead of --data it trains that run's encoder with labels: the upper reference of
the question "representation".
"""

import numpy as np

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.evaluation.report import published


def main() -> None:
    """Reads the flags, trains the classifier, prints its accuracy."""
    config = configuration.from_flags(configuration.ClassifierConfig)
    # After the flags: --help and a wrong flag answer at once.
    command.import_tensorflow()
    configuration.check_remote()

    from hali_tf.attributes import training
    from hali_tf.runs.lock import locked
    from hali_tf.training import devices

    devices.choose(config.device)
    data = training.open_data(config)
    with locked(config.out, "out"):
        card = training.train(config, *data)
    for name in ("validation", "test"):
        means = {measure: np.mean(card[name][measure]) for measure in ("balanced", "plain")}
        print(
            f"{name} accuracy, mean of {len(card['attributes'])} attributes: "
            f"balanced {means['balanced']:.2f} %, plain {means['plain']:.2f} %"
        )
    by_attribute = published.attribute_preservation()["Data"]
    if set(card["attributes"]) == set(by_attribute):
        print(f"published, Data row of Table 5: {np.mean(list(by_attribute.values())):.2f} %")
    print(f"written to {config.out}")


if __name__ == "__main__":
    configuration.define_flags(configuration.ClassifierConfig, "hali_tf.attributes")
    command.run(main, __doc__)
