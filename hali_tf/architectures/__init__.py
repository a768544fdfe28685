"""Every architecture by name: the values of --architecture."""

from hali_tf.architectures.ali import ALI_CELEBA, ALI_CIFAR10, ALI_SVHN, one_level
from hali_tf.architectures.paper import HALI_32, HALI_64, HALI_128
from hali_tf.architectures.small import (
    HALI_16,
    HALI_64_FAST,
    HALI_64_SMALL,
    HALI_128_FAST,
    HALI_128_SMALL,
    HALI_MNIST,
)

ARCHITECTURES = {
    "hali16": HALI_16,
    "hali_mnist": HALI_MNIST,
    "hali32": HALI_32,
    "hali64": HALI_64,
    "hali64_small": HALI_64_SMALL,
    "hali64_fast": HALI_64_FAST,
    "hali128": HALI_128,
    "hali128_small": HALI_128_SMALL,
    "hali128_fast": HALI_128_FAST,
    # One level, the two-level trunk.
    "ali16": one_level(HALI_16),
    "ali32": one_level(HALI_32),
    "ali64": one_level(HALI_64),
    "ali64_small": one_level(HALI_64_SMALL),
    "ali64_fast": one_level(HALI_64_FAST),
    "ali128": one_level(HALI_128),
    # One level, ALI's own tables.
    "ali_cifar10": ALI_CIFAR10,
    "ali_svhn": ALI_SVHN,
    "ali_celeba": ALI_CELEBA,
}
