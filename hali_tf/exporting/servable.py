"""The signatures that are served, as functions of constants and plain variables.

Nothing in their graphs keeps state, needs Python, XLA or an op of our own; each input and output
has the batch in dimension 0 and no row depends on another, so the server may batch and pad.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from hali_tf import keras_versions
from hali_tf.exporting import pictures
from hali_tf.layers.label import LabelledGaussian


class Servable(tf.Module):
    """What is saved: the averaged encoder and decoder, and a classifier if there is one.

    Args:
      generative: `models.generative.Generative`, float32.
      classifier: `Classifier`, `OwnLabel`, or None.
      boxes: what is kept of encoded pictures; see `pictures.prepare`.
      decodes: whether the decoder has learned anything; without, no signature asks it.
    """

    def __init__(self, generative, classifier=None, boxes=None, decodes=True):
        super().__init__()
        # The layers stay out of reach of tf.saved_model: it would save what Keras needs to train.
        self._served = lambda: generative
        weights = generative.encoder.weights + (generative.decoder.weights if decodes else [])
        self.weights = [keras_versions.tf_variable(weight) for weight in weights]
        self._decodes = decodes
        # Not an attribute of its own: tf.Module would wrap the dictionary.
        self._boxes = lambda: boxes or {}
        self.classifier = classifier

    def signatures(self) -> dict[str, Any]:
        """Concrete functions by name, as the README of serving lists them."""
        model = self._served()
        images = tf.TensorSpec([None, *model.image_shape], tf.uint8, "images")
        functions = {"encode": _concrete(self._encode, images)}
        functions["serving_default"] = functions["encode"]
        if self._decodes:
            functions.update(self._of_the_decoder(images))
        if self.classifier is not None:
            functions["classify"] = _concrete(self._classify, images)
            functions["classify_examples"] = _concrete(
                self._classify_examples, tf.TensorSpec([None], tf.string, "inputs")
            )
        return functions

    def _of_the_decoder(self, images):
        """The signatures that take a decoder."""
        top = self._served().num_levels
        functions = {}
        for level in range(1, top + 1):
            name = "decode" if level == top else f"decode_{level}"
            functions[name] = _concrete(*self._decode(level))
        if top > 1:
            functions["decode_latents"] = _concrete(self._decode_latents, self._latent(top))
        functions["reconstruct"] = _concrete(self._reconstruct, images)
        functions["sample"] = _concrete(self._sample, tf.TensorSpec([None], tf.int64, "seeds"))
        return functions

    def _encode(self, images):
        outputs = {}
        for level, q in enumerate(self._served().encode(images), start=1):
            outputs[f"z_{level}"] = q.mean
            outputs[f"z_{level}_stddev"] = q.stddev
            if isinstance(q, LabelledGaussian):
                outputs["y"] = q.probabilities
        return outputs

    def _decode(self, level):
        """The function of one level and its input."""
        model = self._served()

        def decode(z):
            return {"images": model.decode(z, level)}

        return decode, self._latent(level)

    def _latent(self, level):
        """An input that is named after the latent."""
        shape = self._served().latent_shapes[level - 1]
        return tf.TensorSpec([None, *shape], tf.float32, f"z_{level}")

    def _decode_latents(self, z):
        *below, _ = self._served().decode_latents(z)
        return {f"z_{level}": z for level, z in enumerate(below, start=1)}

    def _reconstruct(self, images):
        model = self._served()
        return {
            f"reconstruction_{level}": model.reconstruct(images, level)
            for level in range(1, model.num_levels + 1)
        }

    def _sample(self, seeds):
        return {"images": self._served().sample(seeds)}

    def _classify(self, images):
        scores = self.classifier.scores(self._served().encode(images))
        classes = tf.tile([self.classifier.names], [tf.shape(scores)[0], 1])
        return {"classes": classes, "scores": scores}

    def _classify_examples(self, inputs):
        features = tf.io.parse_example(
            inputs, {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        )
        shape = self._served().image_shape
        images = tf.map_fn(
            lambda encoded: pictures.prepare(encoded, shape, self._boxes()),
            features["image/encoded"],
            parallel_iterations=1,  # a decoded picture can take hundreds of megabytes
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )
        return self._classify(images)


def _concrete(function, spec):
    """The traced function, its argument named after the spec."""
    return tf.function(lambda x: function(x), autograph=False).get_concrete_function(spec)
