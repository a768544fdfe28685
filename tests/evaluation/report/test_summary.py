"""Every claim stands in the summary, whatever was found of it."""

import types

import tensorflow as tf

from hali_tf.config import Config
from hali_tf.evaluation.claims import Finding, above, compared, roles
from hali_tf.evaluation.registry import QUESTIONS
from hali_tf.evaluation.report import summary
from hali_tf.evaluation.subjects import Subject


class Toy:
    title = "Toys (section 9.1, Table 7)"
    claims = {"a": "It flies", "b": "It swims", "c": "It sings"}
    beyond = ()


def test_what_holds_what_does_not_and_what_is_not_known():
    findings = {
        "a": above("2 and 1", [0.5, 1.5]),
        "b": above("1 and 2", [-1.5, 0.5]),
    }
    text = summary.claims({"toy": Toy()}, {"toy": findings}, {})
    assert text.startswith("Of the paper's 3 claims: holds 1, not measured 1, undecided 1.\n")
    assert "| 9.1 | It flies | 2 and 1 | [0.5, 1.5] | holds |" in text
    assert "| 9.1 | It swims | 1 and 2 | [-1.5, 0.5] | undecided |" in text
    assert "| 9.1 | It sings | – | – | not measured: this takes a HALI, and" in text
    text = summary.claims({"toy": Toy()}, {}, {"toy": "failed: no way"})
    assert text.count("not measured: failed: no way") == 3


def test_claims_that_the_paper_does_not_make_are_counted_apart():
    toy = Toy()
    toy.beyond = ("b",)
    findings = {"a": above("2 and 1", [0.5, 1.5]), "b": above("1 and 2", [-1.5, -0.5])}
    text = summary.claims({"toy": toy}, {"toy": findings}, {})
    first = "Of the paper's 2 claims: holds 1, not measured 1. Beyond the paper, of 1 claim: does "
    assert text.startswith(first + "not hold 1.\n")
    assert "| 9.1 | It flies |" in text and "| beyond 9.1 | It swims |" in text


def test_every_claim_beyond_the_paper_is_a_claim():
    for question in QUESTIONS.values():
        assert set(question.beyond) <= set(question.claims)


def test_claims_of_every_question_are_listed_where_nothing_was_answered():
    text = summary.claims(QUESTIONS, {}, dict.fromkeys(QUESTIONS, "not asked"))
    for question in QUESTIONS.values():
        for statement in question.claims.values():
            assert statement in text


def test_of_several_models_of_a_kind_the_claims_say_which_they_are_about():
    def chosen(*names):
        return summary._chosen([types.SimpleNamespace(name=name) for name in names])

    assert chosen("HALI", "ALI", "VAE") == ""
    several = chosen("HALI a", "ALI b", "VAE", "ALI c", "HALI d")
    assert several == (
        "In the claims HALI means HALI a, ALI means ALI b; all models are all but other seeds of "
        "the run."
    )
    assert several in summary.claims({"toy": Toy()}, {"toy": {}}, {}, several)


def test_seeds_are_pooled_by_model_and_level():
    groups = {"HALI": ["HALI a", "HALI b", "HALI c"]}
    values = {"HALI a z_1": 0.2, "ALI": 0.9, "HALI b z_1": 0.3, "HALI c z_1": 0.4, "HALI a z_2": 1}
    values.update({f"HALI {run}_long z_1": 0.1 for run in "abc"})  # of a group of their own
    text = summary.seeds(groups, {"RMSE": values})
    rows = [line for line in text.splitlines() if line.startswith("| RMSE")]
    # z_2 was not measured of all. t of 2 degrees of freedom is 4.303: 0.1 / sqrt(3) * 4.303.
    assert rows == ["| RMSE | HALI z_1 | 3 | 0.3000 [0.05159, 0.5484] | 0.2000, 0.3000, 0.4000 |"]
    assert summary.seeds({}, {"RMSE": values}) == ""


def test_runs_of_other_flags_or_steps_are_no_seeds_of_one_model():
    subjects = [
        Subject(f"HALI {name}", "", Config.of(**flags), types.SimpleNamespace(step=tf.Variable(n)))
        for name, n, flags in (
            ("a", 5, {"seed": 1}),
            ("b", 5, {"seed": 2, "run_dir": "elsewhere"}),
            ("copy of a", 5, {"seed": 1, "run_dir": "copy"}),
            ("later", 6, {"seed": 3}),
            ("wide", 5, {"width": 2.0}),
        )
    ]
    assert summary._groups(subjects) == {"HALI": ["HALI a", "HALI b"]}


def test_without_an_interval_nothing_is_decided():
    assert above("1 and 2", None).verdict == "undecided"


def test_rows_are_compared_either_way():
    table = {
        "rows": {"a": {"rmse": 1.0}, "b": {"rmse": 3.0}},
        "differences": {"a": {"b": {"rmse": {"value": -2.0, "interval": [-3.0, -1.0]}}}, "b": {}},
    }
    assert compared(table, "a", "b", "rmse", sign=-1) == Finding("1 and 3", [1, 3], "holds")
    assert compared(table, "a", "b", "rmse") == Finding("1 and 3", [-3, -1], "does not hold")
    assert compared(table, "b", "a", "rmse") == Finding("3 and 1", [1, 3], "holds")


def test_roles_are_those_of_the_run_and_the_first_baseline_of_each_kind():
    labels = {
        "HALI a": ["HALI a z_1", "HALI a z_2"],
        "HALI b": ["HALI b z_1", "HALI b z_2"],
        "ALI c": ["ALI c"],
        "ALI d": ["ALI d"],
    }
    assert roles(labels) == {"z_1": "HALI a z_1", "z_2": "HALI a z_2", "ALI": "ALI c"}
    assert roles({"ALI": ["ALI"], **labels}) == {}
