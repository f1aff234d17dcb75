"""What the post step makes of the state: what the main step wrote, and nothing of what it did not."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from standins.runner_log import read_environment_file
from tests.support.notes import kept_notes

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.start.once import NativeRetry, NewRun, load_request, save_request
from dbt_cloud_run.start.tag import RunKey, Tag, cause_text
from dbt_cloud_run.state import SavedState, State

TAG = Tag.new(RunKey("0123456789", "abcdef"))
BASE = ("https://cloud.getdbt.com", 12)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def state(file: Path) -> State:
    file.touch()
    return State(Console(io.StringIO(), environ={"GITHUB_STATE": str(file)}))


def saved(file: Path) -> SavedState:
    return SavedState.from_environ({f"STATE_{name}": value for name, value in read_environment_file(file).items()})


WRITE = NewRun(job_id=7, baseline_id=99, tag=TAG, body={"cause": "because", "schema_override": "secret"})
NATIVE = NativeRetry(job_id=7, run_id=55)


def ours(**more: Any) -> Run:
    return Run.model_validate({"id": 100, "trigger": {"cause": cause_text(TAG, "because")}, **more})


def test_nothing_saved_is_nothing_to_do() -> None:
    found = SavedState.from_environ({})
    assert (found.run_id, found.request, found.files, found.ended, found.is_published) == (None, None, None, "", False)


def test_a_write_on_its_way_is_found_by_its_tag(state: State, file: Path) -> None:
    state.target(*BASE)
    state.request(WRITE)
    assert saved(file).request == WRITE
    assert saved(file).target == "https://cloud.getdbt.com 12"


def test_a_native_retry_on_its_way_is_found_by_what_it_retries(state: State, file: Path) -> None:
    state.request(NATIVE)
    assert saved(file).request == NATIVE


def test_a_run_that_is_waited_for_replaces_the_write(state: State, file: Path) -> None:
    state.request(WRITE)
    state.run(ours(), is_to_cancel=True, step_key=TAG.key.step)
    found = saved(file)
    assert (found.run_id, found.request) == (100, None)
    assert found.proves(ours())


def test_the_next_write_replaces_the_run(state: State, file: Path) -> None:
    state.run(ours(), is_to_cancel=True, step_key=TAG.key.step)
    state.request(WRITE)
    assert (saved(file).run_id, saved(file).request is None) == (None, False)


def test_a_run_of_another_step_is_not_kept(state: State, file: Path) -> None:
    state.run(ours(), is_to_cancel=False, step_key=TAG.key.step)
    assert saved(file).run_id is None


def test_only_a_run_that_shows_it_itself_was_started_by_this_step(state: State, file: Path) -> None:
    state.run(ours(), is_to_cancel=True, step_key=TAG.key.step)
    other = Tag.new(RunKey("9999999999", "abcdef"))
    strangers = [{"cause": "a person"}, {"cause": cause_text(other, "")}, None]
    assert not any(saved(file).proves(ours(trigger=trigger)) for trigger in strangers)


def test_a_native_retry_shows_it_by_what_it_retries(state: State, file: Path) -> None:
    retry = ours(retrying_run_id=55, trigger=None)
    state.run(retry, is_to_cancel=True, step_key=TAG.key.step)
    assert saved(file).proves(retry)
    assert not saved(file).proves(ours(retrying_run_id=56, trigger=None))
    assert not saved(file).proves(ours())


def test_the_job_and_the_address_of_the_run_are_kept(state: State, file: Path) -> None:
    state.target(*BASE)
    state.job(7)
    state.run(ours(href="https://cloud.getdbt.com/runs/100/"), is_to_cancel=True, step_key=TAG.key.step)
    found = saved(file)
    assert (found.job_id, found.address) == (7, "https://cloud.getdbt.com/runs/100/")
    assert found.inputs == {"host": "https://cloud.getdbt.com", "account-id": "12", "job-id": "7"}


def test_files_are_those_in_the_folder(state: State, file: Path, tmp_path: Path) -> None:
    inside, outside = tmp_path / "out" / "a.json", tmp_path / "b.json"
    state.files("name", tmp_path / "out", [inside, outside])
    state.ended("verdict")
    state.published()
    found = saved(file)
    assert found.files is not None
    assert (found.files.name, found.files.folder, found.files.files) == ("name", tmp_path / "out", (inside,))
    assert (found.ended, found.is_published) == ("verdict", True)


@pytest.mark.parametrize("text", ["-1", "0x10", "1e3", "٣", "9" * 20, "7; rm", "null"])
def test_a_forged_run_is_no_run(text: str) -> None:
    assert SavedState.from_environ({"STATE_run_id": text}).run_id is None


@pytest.mark.parametrize("text", ["", "javascript:alert(1)", "ftp://dbt.example", "see https://dbt.example"])
def test_a_forged_address_is_no_address(text: str) -> None:
    assert SavedState.from_environ({"STATE_address": text}).address == ""


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "[1,2]", '["7",99,null,null]', "7", '{"a":1,"b":2,"c":3,"d":4}']
)
def test_a_forged_write_is_no_write(text: str) -> None:
    assert SavedState.from_environ({"STATE_pending": text}).request is None


def test_a_forged_tag_is_no_tag() -> None:
    # There is nothing by which a run could be found.
    assert load_request(json.dumps([7, 99, "[dcr x]", "55"])) is None
    assert load_request(json.dumps([7, 99, "[dcr x]", 55])) == NATIVE


def test_what_release_1_0_saved_is_read() -> None:
    assert load_request(f'[7, 99, "{TAG}", null]') == WRITE
    assert load_request("[7, 55, null, 55]") == NATIVE


def test_a_request_that_was_loaded_is_never_sent() -> None:
    loaded = load_request(save_request(WRITE))
    assert isinstance(loaded, NewRun)
    with pytest.raises(ValueError, match="never sent"):
        asyncio.run(loaded.send(None))  # type: ignore[arg-type]


def test_what_is_saved_lets_the_post_step_start_however_many_files_there_are(
    state: State, file: Path, tmp_path: Path
) -> None:
    """The runner hands each value over as a variable of the environment."""
    folder = tmp_path / "out"
    report, models = folder / "result.json", folder / "compiled/models" / ("\u00e4" * 60)
    many = [models / f"{number}.sql" for number in range(5_000)]
    run = Run(id=100, href="https://cloud.getdbt.com/" + "x" * 200_000)
    with kept_notes() as notes:
        state.run(run, is_to_cancel=True, step_key="0123456789")
        state.files("name", folder, [*many, report])
    variables = {f"STATE_{name}": value for name, value in read_environment_file(file).items()}
    subprocess.run([sys.executable, "-c", ""], env=variables, check=True)
    found = saved(file).files
    assert found is not None
    assert found.files[0] == report
    assert set(found.files) < {report, *many}
    assert f"{len(found.files)} of 5001 files" in notes[0]
    assert saved(file).run_id == 100


def test_files_of_an_earlier_release_are_read(tmp_path: Path) -> None:
    text = json.dumps({"name": "n", "folder": str(tmp_path), "files": [str(tmp_path / "a" / "b.sql")]})
    found = SavedState.from_environ({"STATE_files": text}).files
    assert found is not None
    assert found.files == (tmp_path / "a" / "b.sql",)


@pytest.mark.parametrize(
    "text", ["{", "null", "[]", "{}", '{"name":"n","folder":3,"files":[]}', '{"name":"n","folder":"f"}']
)
def test_forged_files_are_no_files(text: str) -> None:
    assert SavedState.from_environ({"STATE_files": text}).files is None


def test_no_override_and_no_secret_is_in_it(state: State, file: Path) -> None:
    state.target(*BASE)
    state.request(WRITE)
    state.run(ours(), is_to_cancel=True, step_key=TAG.key.step)
    assert read_environment_file(file).keys() == {"target", "pending", "run_id", "proof", "address"}
