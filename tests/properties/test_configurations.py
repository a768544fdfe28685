"""Any value of any flag, from the command line, a flagfile or config.json: valid, or one line."""

import json

import pytest
from absl import flags
from hypothesis import example, given
from hypothesis import strategies as st

from hali_tf import command
from hali_tf.config import ClassifierConfig, Config
from hali_tf.config.settings import entries
from hali_tf.errors import UsageError, UserError

DEFAULTS = {flag: default for flag, _, default in entries(Config)}
RIGHT = {
    "data": ["digits", "npz", "folder", "tfds:mnist"],
    "model": ["hali", "ali", "vae"],
    "architecture": ["", "hali16", "ali32"],
    "image_size": [0, 16, 32],
    "channels": [0, 1, 3],
    "hybrid_joints": ["", "1", "0.5,0.5"],
    "cycle_latents": [0.0, 1.0],
    "cycle_contrast": [0.0, 1.0],
    "latent_moments": [0.0, 1.0],
    "learning_rate_fall": ["", "5,10000"],
    "profile_steps": ["", "3,4"],
    "precision": ["auto", "float32", "mixed_float16"],
    "jit_compile": ["auto", "true"],
    "run_dir": ["runs/a b"],
}
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"))
OF_TYPE = {
    bool: st.booleans(),
    int: st.integers() | st.sampled_from([0, 1, 2, 2**31, 2**63, 10**400]),
    float: st.floats() | st.sampled_from([0.0, 0.5, 1.0, 1e9, 1e308]),
    str: LINE
    | st.sampled_from(["²,³", "1,2,3", "nan", "0.5,,", "\u0661,\u0662", "9" * 5000 + ",1"]),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def values(draw):
    """A few flags with values that are right, or of the right type at least."""
    chosen = draw(st.lists(st.sampled_from(sorted(DEFAULTS)), unique=True, max_size=5))
    made = {}
    for flag in chosen:
        anything = OF_TYPE[type(DEFAULTS[flag])]
        made[flag] = draw(st.sampled_from(RIGHT[flag]) | anything if flag in RIGHT else anything)
    return {"run_dir": "runs/x", **made}


def validated(record):
    """The record as it is used, or None where it is refused in one line."""
    try:
        return record.validate()
    except UsageError as error:
        assert "\n" not in str(error)
        return None


@given(values())
def test_a_configuration_is_refused_in_one_line_or_can_be_written_and_read(tmp_path, flags_):
    config = validated(Config.of(**flags_))
    if config is None:
        return
    assert config.validate() == config
    assert config.data.channels == 0 or config.table().image[-1] == config.data.channels
    path = tmp_path / "config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    assert Config.from_file(path) == config


@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)), JSON, max_size=3) | JSON)
@example(content={"seed": 3})
def test_a_config_json_of_anything(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        config = Config.from_file(path)
        config.table()
    except UserError:
        return
    assert content == {flag: config.flat()[flag] for flag in content}


@given(st.binary(max_size=200))
def test_a_config_json_of_any_bytes(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="config.json: not a configuration"):
        Config.from_file(path)


@given(
    st.dictionaries(
        st.sampled_from([flag for flag, _, _ in entries(ClassifierConfig)]),
        st.integers() | st.floats() | st.text() | st.booleans(),
        max_size=4,
    )
)
def test_a_configuration_of_the_classifier(flags_):
    validated(ClassifierConfig.of(**{"data": "celeba", "out": "x", **flags_}))


@pytest.fixture
def parse(monkeypatch, capsys):
    """Parses arguments as a command does: the values of the flags, or None and one line."""

    def parsed(*arguments):
        own = flags.FlagValues()
        define = {str: flags.DEFINE_string, int: flags.DEFINE_integer, float: flags.DEFINE_float}
        for flag, default in DEFAULTS.items():
            kind = flags.DEFINE_bool if type(default) is bool else define[type(default)]
            kind(flag, default, "help", flag_values=own)
        monkeypatch.setattr(command.flags, "FLAGS", own)
        capsys.readouterr()
        try:
            command._parse(["command", *arguments], positional=False)
        except SystemExit as stop:
            error = capsys.readouterr().err
            assert stop.code == 2 and error.startswith("hali_tf: ") and error.count("\n") == 1
            return None
        return {flag: own[flag].value for flag in DEFAULTS}

    return parsed


@given(values())
def test_a_flagfile_says_what_python_says(tmp_path, parse, flags_):
    path = tmp_path / "run.cfg"
    lines = [f"--{flag}={value}" for flag, value in flags_.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    parsed = parse(f"--flagfile={path}")
    if parsed is None:
        return
    for flag, value in flags_.items():
        if isinstance(value, str):  # absl leaves out what is blank at the end of a line
            assert parsed[flag].rstrip() == value.rstrip(), flag
        else:
            assert parsed[flag] == value or value != value, flag  # NaN equals nothing


@given(st.binary(max_size=100) | st.lists(LINE, max_size=4).map(lambda x: "\n".join(x).encode()))
def test_a_flagfile_of_anything(tmp_path, parse, content):
    path = tmp_path / "run.cfg"
    path.write_bytes(content)
    parsed = parse(f"--flagfile={path}")
    if parsed is not None:
        validated(Config.of(**parsed))


@given(
    st.lists(st.sampled_from(sorted(DEFAULTS)).flatmap(lambda f: LINE.map(lambda t: f"--{f}={t}")))
)
def test_a_command_line_of_anything(parse, arguments):
    parsed = parse(*arguments)
    if parsed is not None:
        validated(Config.of(**parsed))
