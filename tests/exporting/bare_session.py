"""Answers of a SavedModel the way the stock server gets them: a session, and only tensorflow.

python bare_session.py VERSION_DIR REQUESTS.npz ANSWERS.npz; request arrays are named
signature/input/batch, answers signature/output/batch.
"""

import sys

import numpy
import tensorflow as tf

folder, requests, answers = sys.argv[1:]
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], folder)

    arrays = numpy.load(requests)
    found = {}
    for key in arrays.files:
        name, alias, batch = key.split("/")
        signature = meta.signature_def[name]
        value = arrays[key]
        if value.dtype.kind == "S":
            value = value.astype(object)
        fetches = {output: info.name for output, info in signature.outputs.items()}
        result = session.run(fetches, {signature.inputs[alias].name: value})
        for output, array in result.items():
            array = array.astype("S") if array.dtype == object else array
            found[f"{name}/{output}/{batch}"] = array
    numpy.savez(answers, **found)
