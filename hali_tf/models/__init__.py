"""The models: HALI of any number of levels; ALI is HALI with one; the VAE."""

from hali_tf.models.hali import HALI  # noqa: F401
from hali_tf.models.semi_supervised import LabelledEncoder, SemiSupervisedHALI  # noqa: F401
from hali_tf.models.vae import VAE  # noqa: F401
