"""The questions of an evaluation by their names in --only, in the paper's order."""

from hali_tf.evaluation.attributes import Attributes
from hali_tf.evaluation.innovation import Innovation
from hali_tf.evaluation.inpainting import Inpainting
from hali_tf.evaluation.labels import Labels
from hali_tf.evaluation.perceptual import Perceptual
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.reconstruction import Reconstruction
from hali_tf.evaluation.representation import Representation
from hali_tf.evaluation.samples import Samples
from hali_tf.evaluation.traversal import Traversal

QUESTIONS: dict[str, Question] = {
    "reconstruction": Reconstruction(),
    "perceptual": Perceptual(),
    "attributes": Attributes(),
    "inpainting": Inpainting(),
    "traversal": Traversal(),
    "innovation": Innovation(),
    "representation": Representation(),
    "labels": Labels(),
    "samples": Samples(),
}
