"""The models: HALI of any number of levels; ALI is HALI with one."""

from hali_tf.models.hali import HALI  # noqa: F401
