"""The flags of trainings and the frozen records they become; the flags that commands share.

What evaluate, show, explore, export, encode, decode and sample have besides is defined in their own
modules, and in `hali_tf.bulk.flags`.

settings    what a record of settings is: bounds, reading, writing, comparing
groups      the groups of a training run's settings
training    `Config`, the groups together: the flags of hali_tf.train
classifier  `ClassifierConfig`: the flags of hali_tf.attributes
flags       absl's flags, made from records, and records made from flags
"""

from hali_tf.config.classifier import ClassifierConfig
from hali_tf.config.flags import (
    DATA_FLAGS,
    check_remote,
    define,
    define_flags,
    define_run_flags,
    from_flags,
    refuse_beside,
    run_flags,
)
from hali_tf.config.settings import check
from hali_tf.config.training import Config, check_shares

__all__ = [
    "DATA_FLAGS",
    "ClassifierConfig",
    "Config",
    "check",
    "check_remote",
    "check_shares",
    "define",
    "define_flags",
    "define_run_flags",
    "from_flags",
    "refuse_beside",
    "run_flags",
]
