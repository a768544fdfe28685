"""What is computed from a table alone equals what the layers made of it have."""

import pytest

from hali_tf.architectures import ARCHITECTURES, cost
from hali_tf.config import Config
from hali_tf.errors import UsageError
from hali_tf.runs.reopening import make_model
from hali_tf.training import describe, memory


@pytest.mark.parametrize(
    "flags",
    [
        {"architecture": "hali16"},
        {"architecture": "hali32", "labels_per_class": 1, "classes": 10},
        {"architecture": "ali32", "model": "ali"},
        {"architecture": "ali64", "model": "vae"},
    ],
)
def test_parameters_and_memory_are_those_of_the_model(flags):
    config = Config.of(
        **{"run_dir": "x", "channels": 3, "width": 0.25, "precision": "float32", **flags}
    ).validate()
    model = make_model(config)
    table, has_one = config.table(), "discriminator" in model.networks
    counted = cost.parameters(table)
    for name, network in model.networks.items():
        assert counted[name] == describe.parameters(network)
    found = {}
    for settings in ((1, False), (4, False), (1, True), (4, True)):
        found[settings] = describe.memory_estimate(model, 8, *settings)
        counted_memory = cost.memory(table, 8, 4, has_one, *settings)
        assert counted_memory == pytest.approx(found[settings], rel=0.02)
    assert max(found, key=found.get) == (1, False) and min(found, key=found.get) == (4, True)


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


def test_every_table_can_be_counted():
    for name, table in ARCHITECTURES.items():
        assert all(count > 1000 for count in cost.parameters(table.adapt(3)).values()), name


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
