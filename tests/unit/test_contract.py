"""The settings keep the contract: every input is read, defaults to what is said, and nothing else is read."""

from __future__ import annotations

import ast
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter
from tests.support.contract import INPUTS, PublicInput

import dbt_cloud_run.main
import dbt_cloud_run.post
from dbt_cloud_run.errors import InvalidInputsError
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.redaction import Secret
from dbt_cloud_run.settings.inputs import INPUTS as TABLE
from dbt_cloud_run.settings.inputs import PLATFORM_INPUTS, Input
from dbt_cloud_run.settings.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [ROOT / "entrypoint.py", ROOT / "post_entrypoint.py", *sorted((ROOT / "src/dbt_cloud_run").rglob("*.py"))]
REQUIRED = {"api-token": "dbtc_0123456789", "account-id": "1", "job-id": "2"}
# Where the reader puts an input whose field has another name.
FIELDS = {"host": "base_url"}
# Worked out from the platform's variables, of which these tests give none.
COMPUTED = {"cause": "Triggered from a GitHub workflow"}


def read(inputs: Mapping[str, str], **variables: str) -> dict[str, Any]:
    """Every field of the settings, the overrides' own among them; secrets in clear."""
    settings = Settings.from_environ({f"INPUT_{name.upper()}": text for name, text in inputs.items()} | variables)
    fields = {name: getattr(settings, name) for name in Settings.__slots__ if name not in ("overrides", "given")}
    fields |= {name: getattr(settings.overrides, name) for name in TriggerOverrides.__slots__}
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in fields.items()}


def field_of(name: str) -> str:
    return FIELDS.get(name, name.replace("-", "_"))


def expected(entry: Input, text: str) -> Any:
    """The value that the field has for this text; nothing is nothing, whatever it would stand for."""
    empty = () if entry.name in ("steps-override", "fail-on") else COMPUTED.get(entry.name)
    return entry.parse(text) if text else empty


def companions(name: str) -> dict[str, str]:
    """What must be given beside an input, for it to be accepted."""
    if name in ("job-name", "project-name", "environment-name"):
        return {"api-token": REQUIRED["api-token"], "account-id": "1", "job-name": "any"}
    return REQUIRED


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_what_is_not_given_has_the_default_that_is_declared(entry: Input) -> None:
    if entry.name in REQUIRED:
        return
    public = INPUTS[entry.name]
    text = "" if entry.computed or public.default.startswith("${{") else public.default
    assert read(REQUIRED)[field_of(entry.name)] == expected(entry, text)
    handed = REQUIRED | {
        name: entry.default for name, entry in ((entry.name, entry) for entry in TABLE) if entry.default
    }
    assert read(handed)[field_of(entry.name)] == expected(entry, text)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_what_is_given_is_used_and_changes_nothing_else(entry: Input) -> None:
    text, field = INPUTS[entry.name].other, field_of(entry.name)
    before, after = read(companions(entry.name)), read(companions(entry.name) | {entry.name: text})
    assert after[field] == expected(entry, text)
    assert after[field] != before[field]
    assert {name for name in after if after[name] != before[name]} - {"warnings"} == {field}


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_a_setting_has_the_type_that_is_declared_given_or_not(entry: Input) -> None:
    holder = TriggerOverrides if field_of(entry.name) in TriggerOverrides.__slots__ else Settings
    declared = typing.get_type_hints(holder)[field_of(entry.name)]
    # Pydantic reads a declaration as it stands; a class of ours is looked at with `isinstance`.
    adapter = TypeAdapter(declared, config=ConfigDict(arbitrary_types_allowed=True))
    for inputs in (REQUIRED, companions(entry.name) | {entry.name: INPUTS[entry.name].other}):
        settings = Settings.from_environ({f"INPUT_{name.upper()}": text for name, text in inputs.items()})
        value = getattr(settings.overrides if holder is TriggerOverrides else settings, field_of(entry.name))
        assert adapter.validate_python(value, strict=True) == value


@pytest.mark.parametrize("public", [entry for entry in INPUTS.values() if entry.choices], ids=lambda entry: entry.name)
def test_the_choices_of_the_contract_are_accepted_and_no_others(public: PublicInput) -> None:
    accepted = {read(REQUIRED | {public.name: word})[field_of(public.name)] for word in public.choices}
    assert len(accepted) == len(public.choices)
    with pytest.raises(InvalidInputsError) as caught:
        read(REQUIRED | {public.name: "neither"})
    (problem,) = caught.value.problems
    told = re.match(r"must be (?:one of )?(.+?)[;.]", problem.message)
    assert told is not None
    assert tuple(re.split(r", | or ", told[1])) == public.choices


@pytest.mark.parametrize("public", [entry for entry in INPUTS.values() if entry.variable], ids=lambda entry: entry.name)
def test_the_variables_of_the_contract_are_read_where_the_input_is_not_given(public: PublicInput) -> None:
    inputs = {name: text for name, text in REQUIRED.items() if name != public.name}
    entry = next(entry for entry in TABLE if entry.name == public.name)
    field = field_of(public.name)
    assert read(inputs, **{public.variable: public.other})[field] == expected(entry, public.other)
    given = read(inputs | {public.name: public.other}, **{public.variable: "3"})
    assert given[field] == expected(entry, public.other)


def test_every_setting_is_looked_at_by_the_code() -> None:
    code = "\n".join(path.read_text() for path in SOURCES if path.parent.name != "settings")
    settled_there = {"on_missing_token"}  # the settings themselves make of it a token that is missing
    fields = {field_of(entry.name) for entry in TABLE} & set(Settings.__slots__)
    assert {name for name in fields if not re.search(rf"\.{name}\b", code)} == settled_there


def texts(path: Path) -> Iterator[tuple[str, bool]]:
    """Every string in a file, and whether it is a piece of one that is put together."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    pieces = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr | ast.BinOp)
        for part in ast.walk(node)
        if part is not node
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, id(node) in pieces


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_input_is_named_that_is_not_declared(path: Path) -> None:
    known = {entry.name.upper() for entry in TABLE} | {entry.field.upper() for entry in TABLE}
    for text, is_piece in texts(path):
        for name in re.findall(r"(?<![A-Z_])INPUT_([\w-]*)", text):
            # The prefix is put before a name by the table alone, from one constant.
            is_prefix = not name and not is_piece and path.parent.name == "settings"
            assert name in known or is_prefix, text


class Spied(dict[str, str]):
    """An environment that remembers which inputs it was asked for by name."""

    def __init__(self, content: Mapping[str, str]) -> None:
        super().__init__(content)
        self.asked: set[str] = set()

    def _note(self, name: object) -> None:
        if str(name).startswith("INPUT_"):
            self.asked.add(str(name).removeprefix("INPUT_").replace("_", "-").lower())

    def get(self, name: str, default: Any = None) -> Any:
        self._note(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self._note(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._note(name)
        return super().__contains__(name)


@pytest.mark.parametrize("inputs", [{}, {"on-missing-token": "skip"}], ids=["refused", "skipped"])
def test_main_and_post_ask_for_every_declared_input_and_no_other(inputs: dict[str, str], tmp_path: Path) -> None:
    content = {f"INPUT_{name.upper()}": text for name, text in inputs.items()} | {"GITHUB_WORKSPACE": str(tmp_path)}
    main = Spied(content)
    assert dbt_cloud_run.main.main(main) == (0 if inputs else 1)
    assert main.asked == set(INPUTS)
    saved = {"STATE_run_id": "1", "STATE_target": "https://cloud.getdbt.com 1"}
    post = Spied(content | saved)
    assert dbt_cloud_run.post.main(post) == 0
    assert post.asked == set(INPUTS)


def test_the_platforms_own_inputs_are_none_of_ours() -> None:
    assert not PLATFORM_INPUTS & set(INPUTS)
