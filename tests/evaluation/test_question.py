"""Which questions are asked of which runs."""

import types

import pytest

from hali_tf.config import Config
from hali_tf.evaluation.registry import QUESTIONS

ENCODER_ONLY = {"labels_per_class": 10, "classes": 10, "encoder_only": True}


@pytest.mark.parametrize("own", [False, True])
def test_without_a_decoder_a_run_is_asked_and_compared_only_by_its_encoder(monkeypatch, own):
    subjects = [
        types.SimpleNamespace(config=Config.of(**flags), run_dir=name)
        for name, flags in (("a", {}), ("b", ENCODER_ONLY))
    ]
    context = types.SimpleNamespace(subjects=subjects[::-1] if own else subjects)
    left_out = set()
    for name, question in QUESTIONS.items():
        monkeypatch.setattr(type(question), "unanswerable", lambda self, context: None)
        reason = question.left_out(context)
        if reason:
            assert reason == "b trained its encoder alone (--encoder_only)"
            left_out.add(name)
    alone = {"perceptual", "traversal", "innovation"} if own else set()
    assert left_out == {"reconstruction", "attributes", "inpainting", "samples"} | alone
