"""What is computed from a table alone equals what the layers made of it have."""

import math

import pytest

from hali_tf.architectures import ARCHITECTURES, cost
from hali_tf.config import Config
from hali_tf.errors import UsageError
from hali_tf.runs.reopening import make_model
from hali_tf.training import describe, memory
from tests.test_architectures import PARAMETERS


@pytest.mark.parametrize(
    "flags",
    [
        {"architecture": "hali16"},
        {"architecture": "hali16", "image_discriminator": True},
        {"architecture": "hali32", "labels_per_class": 1, "classes": 10},
        {"architecture": "hali64_fast"},
        {"architecture": "ali32", "model": "ali"},
        {"architecture": "ali64", "model": "vae"},
    ],
)
def test_parameters_and_memory_are_those_of_the_model(flags):
    config = Config.of(
        **{"run_dir": "x", "channels": 3, "width": 0.25, "precision": "float32", **flags}
    ).validate()
    model = make_model(config)
    table = config.table()
    of_images = cost.parameters(table.of_images_alone())["discriminator"]
    counted = {**cost.parameters(table), "image_discriminator": of_images}
    weights = {name: describe.parameters(network) for name, network in model.networks.items()}
    assert weights.items() <= counted.items()
    coders = weights["encoder"] + weights["decoder"]
    bytes_of_weights = 4 * (4 * sum(weights.values()) + coders)
    labelled = "labels_per_class" in flags
    bytes_of_outputs = 4 * 8 * kept_outputs(describe.summary(model), 1 + labelled)
    assert memory.needed(config, 8) == pytest.approx(bytes_of_weights + bytes_of_outputs, rel=0.02)


def kept_outputs(summary, encoded):
    """Entries that the backward pass looks at for an image: of each layer's output times copies."""
    examples, total = 0, 0
    for line in summary.splitlines():
        if not line.startswith("  "):
            examples = {"encoder": encoded, "decoder": 1}.get(line.split()[0].rstrip(":"), 2)
            continue
        layer, *shape = line.replace(" x ", " ").split()[:-1]
        copies = {"ConvBlock": 3, "ResidualBlock": 6}.get(layer, 1)
        total += examples * copies * math.prod(map(int, shape))
    return total


def test_less_is_kept_in_parts_and_with_rematerialisation():
    table = ARCHITECTURES["hali32"].adapt(3, 0.25)
    found = {
        (parts, remat): cost.memory(table, 8, accumulate=parts, remat=remat)
        for parts in (1, 4)
        for remat in (False, True)
    }
    assert max(found, key=found.get) == (1, False) and min(found, key=found.get) == (4, True)


def test_memory_counts_the_examples_of_hybrid_joints():
    def extra(*shares):
        table = ARCHITECTURES["hali16"]
        return cost.memory(table, 8, hybrid_joints=shares) - cost.memory(table, 8)

    assert extra(1.0) == 2 * extra(0.5) > 0
    assert extra(0.0, 1.0) > extra(1.0)  # h_2 goes through the decoder's upper level as well
    assert extra(0.5, 1.0) == extra(0.5) + extra(0.0, 1.0)


def test_memory_of_the_networks_that_are_trained_alone():
    table = ARCHITECTURES["hali16"]
    parts = [cost.memory(table, 8, networks=[name]) for name in cost.parameters(table)]
    assert cost.memory(table, 8) == sum(parts) and min(parts) > 0


def test_memory_counts_all_batches_that_are_encoded():
    table = ARCHITECTURES["hali16"]
    extra = cost.memory(table, 8, encoder_passes=2) - cost.memory(table, 8)
    walks = cost.of_networks(table)["encoder"]
    assert extra == 4 * 8 * cost.activations([(1, outputs) for _, outputs in walks], remat=False)


def test_memory_knows_which_batches_the_encoder_of_few_labels_sees():
    """Images, labelled, moved and generated ones in the game; labelled and moved ones alone."""
    flags = {"architecture": "hali16", "run_dir": "x", "labels_per_class": 1, "classes": 10}
    terms = {"consistency": 1.0, "cycle_labels": 1.0}

    def needed(**more):
        return memory.needed(Config.of(**flags, **more).validate(), 8)

    plain, one_pass = needed(), needed(consistency=1.0) - needed()
    assert needed(**terms) - plain == 2 * one_pass > 0
    alone = needed(encoder_only=True)
    assert needed(encoder_only=True, **terms) - alone == one_pass


def test_memory_of_a_table_counted_by_hand():
    """Two images of 4x4: 3 copies of a convolution's 2 maps, 2 maps twice as large, 3 of 2 more."""
    outputs = [
        cost.Output(3, 32, False),
        cost.Output(1, 128, True),
        cost.Output(3, 128, False),
    ]
    assert cost.activations([(2, outputs)], remat=False) == 2 * (3 * 32 + 128 + 3 * 128)
    kept, largest = 2 * (32 + 128), 2 * (128 + 3 * 128)
    assert cost.activations([(2, outputs)], remat=True) == kept + largest


def test_every_table_has_the_parameters_of_its_layers():
    for name, table in ARCHITECTURES.items():
        assert tuple(cost.parameters(table).values()) == PARAMETERS[name], name


@pytest.mark.parametrize("flags", [{"batch_size": 99_999_999}, {"width": 900.0}])
def test_what_does_not_fit_is_refused_before_anything_is_made(flags):
    config = Config.of(run_dir="x", channels=1, **flags).validate()
    with pytest.raises(UsageError, match="needs at least .* GiB of memory") as caught:
        memory.check(config)
    for flag, value in flags.items():
        assert f"--{flag}={value:.10g}" in str(caught.value)


def test_what_fits_is_not_refused():
    memory.check(Config.of(run_dir="x", channels=1).validate())
    parts = {"batch_size": 10**8, "accumulate": 10**7}
    memory.check(Config.of(run_dir="x", channels=1, **parts).validate())
    memory.check(Config.of(dry_run=True, channels=1, batch_size=99_999_999).validate())
    memory.check(Config.of(run_dir="x", channels=1, batch_size=99_999_999).validate(), 10**6)


def test_an_encoder_alone_needs_no_discriminator():
    labels = {"labels_per_class": 5, "classes": 10, "channels": 1}
    game = Config.of(run_dir="x", **labels).validate()
    alone = Config.of(run_dir="x", encoder_only=True, **labels).validate()
    assert memory.needed(alone, 64) < memory.needed(game, 64)
