"""The text of `steps-override`, as people write it."""

from __future__ import annotations

import json
import shlex

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.settings.commands import commands, odd_commands
from dbt_cloud_run.settings.parsing import BadValueError

TWO = ("dbt seed", "dbt build -s 'a b'")


@pytest.mark.parametrize(
    "text",
    [
        "dbt seed\ndbt build -s 'a b'",
        "  dbt seed  \n\n\tdbt build -s 'a b'\n",
        "- dbt seed\n- dbt build -s 'a b'",
        "- dbt seed\n\n-   \"dbt build -s 'a b'\"\n",
        "- 'dbt seed'\n- 'dbt build -s ''a b'''",
        '["dbt seed", "dbt build -s \'a b\'"]',
        "['dbt seed', 'dbt build -s ''a b''']",
        "[\n  dbt seed,\n  \"dbt build -s 'a b'\",\n]",
        "- dbt seed # first\n- dbt build -s 'a b'  # then",
        "- 'dbt seed' # first\n- \"dbt build -s 'a b'\" # then 'that'",
    ],
)
def test_lines_and_lists_mean_the_same(text: str) -> None:
    assert commands(text) == TWO


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# all\ndbt build", "holds a comment, which dbt Cloud would run as a command (command 1 of 2)"),
        ("dbt build \\\n  --select a", "goes on after a \\ at the end of its line (command 1 of 2)"),
        ("dbt seed\nmake", "each beginning with dbt (command 2 of 2)"),
        ("dbt seed\n- dbt build", "each beginning with dbt (command 2 of 2)"),
        ('"dbt build"', "quotes around it"),
        ("“dbt build”", "quotes around it"),
        ("- dbt build\n-", "an empty command (command 2 of 2)"),
        ('["dbt build", ""]', "an empty command (command 2 of 2)"),
        ("- >-\n- dbt build", "an entry of several lines"),
        ('["dbt build"', "does not end with ]"),
        ('["dbt build" "dbt seed"]', "must be a list such as"),
        ('["dbt build", ["dbt seed"]]', "must be a list such as"),
        ('["dbt build", "a\\q"]', "means nothing in JSON"),
        ('["dbt build\\nrm -rf"]', "single line"),
        ("- dbt seed\n# then\n- dbt build", "holds a comment, which dbt Cloud would run as a command; leave it out"),
        ('["dbt seed", # then\n "dbt build"]', "holds a comment, which dbt Cloud would run as a command; leave it out"),
        ("- >-\n  dbt build\n  --select a", "an entry of several lines"),
        ("- dbt build\n  --select a", "an entry of several lines"),
        ("- dbt seed\n-dbt build", "without a blank after its -"),
        ("[dbt build --select a,b]", "with every command in quotes"),
        ("dbtx build", "each beginning with dbt"),
    ],
)
def test_what_is_refused_is_named(text: str, words: str) -> None:
    with pytest.raises(BadValueError) as caught:
        commands(text)
    assert words in str(caught.value)


ARGUMENTS = st.text(alphabet="ab'\",:{}[]#\\ -é", min_size=1, max_size=12)
COMMANDS = st.lists(ARGUMENTS.map(lambda text: f"dbt build --vars {shlex.quote(text)}"), min_size=1, max_size=4)


@given(COMMANDS)
def test_what_json_and_yaml_write_is_read_as_they_mean_it(wanted: list[str]) -> None:
    assert commands(json.dumps(wanted)) == tuple(wanted)
    flow = yaml.safe_dump(wanted, default_flow_style=True, width=10_000, allow_unicode=True, default_style="'")
    assert commands(flow.strip()) == tuple(wanted)
    block = "\n".join(f"- {json.dumps(command, ensure_ascii=False)}" for command in wanted)
    assert commands(block) == tuple(yaml.safe_load(block)) == tuple(wanted)


@given(st.text(alphabet="[]\"',-# \\\ndbt:>|", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = commands(text.strip())
    except BadValueError:
        return
    assert all(command.split()[0] == "dbt" for command in found)


@pytest.mark.parametrize("joint", ["&&", "||", ";", "|", "&"])
def test_the_joints_of_a_shell(joint: str) -> None:
    (sentence,) = odd_commands([f"dbt seed {joint} dbt run"])
    assert f"`{joint}`" in sentence
    assert list(odd_commands([f"dbt run --vars 'a {joint} b'", f'dbt run -s "a{joint}b"', "dbt run 'open"])) == []


def test_a_comment_after_a_command_is_warned_of() -> None:
    (sentence,) = odd_commands(["dbt build # nightly"])
    assert "# that begins a comment in a shell" in sentence
    assert (
        list(odd_commands(["dbt run --vars 'a # b'", 'dbt run -s "a #b"', "dbt run -s a#b", "dbt run 'open #"])) == []
    )


@given(st.lists(st.sampled_from(["dbt build", "-s a", "'b # c'", "#d", "e#f", '"g"', "  "]), min_size=1, max_size=6))
def test_an_entry_is_read_as_yaml_reads_it(words: list[str]) -> None:
    """Except for a # within the quotes of a shell, where YAML would cut the command in two."""
    entry = " ".join(["dbt", *words]).rstrip()
    if "'b # c'" in words and "#d" not in words:
        assert commands(f"- {entry}") == (entry,)
    elif "'b # c'" not in words:
        assert commands(f"- {entry}") == tuple(yaml.safe_load(f"- {entry}"))
