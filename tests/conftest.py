"""Fixtures that several tests share."""

import os
import pathlib

import pytest

# Tests start commands while gRPC's threads run. Python 3.9 forks for them, and gRPC's handlers of
# forks can then abort the child before it becomes the command.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

import hali_tf  # noqa: F401  (quiet TensorFlow logs, before any test imports TensorFlow)

import keras  # isort: skip
import tensorflow as tf  # isort: skip

# For tests of replicas; here, before anything that a test module imports starts the devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def seeded():
    """Layers that a test makes without a seed begin with the same weights in every run."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real image sets beside the checkout, where a developer has one."""
    root = pathlib.Path(os.environ.get("HALI_TF_TEST_DATA", "../shared/data"))
    if not (root / "mnist").is_dir():
        pytest.skip("real image sets are not at hand (HALI_TF_TEST_DATA names their folder)")
    return root.resolve()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of a small attribute classifier."""
    from hali_tf.attributes import training
    from tests.attributes.faces import ENCODER, config_of, faces

    folder = tmp_path_factory.mktemp("classifier") / "out"
    training.train(config_of(folder), faces(), ENCODER)
    return folder
