"""The texts of `--help`: the configuration, made from its models, and the control paths."""

from __future__ import annotations

from pydantic import BaseModel

from dbt_cloud_emulator import config
from dbt_cloud_emulator.cancellations import Cancellation
from dbt_cloud_emulator.faults import Fault

PARTS: dict[str, type[BaseModel]] = {
    "accounts[]": config.AccountConfig,
    "tokens[]": config.TokenConfig,
    "projects[]": config.ProjectConfig,
    "environments[]": config.EnvironmentConfig,
    "jobs[]": config.JobConfig,
    "behaviour": config.Behaviour,
    "faults[]": Fault,
    "cancellations[]": Cancellation,
}

CONTROL_PATHS = """control paths (no token needed):
  POST /__emulator__/faults         add one fault, or a list of them, in the form of faults[] above
  GET, DELETE /__emulator__/faults  all faults with their hits; DELETE /__emulator__/faults/<id>: one
  POST /__emulator__/cancellations  plan one, or a list, in the form of cancellations[]; GET, DELETE: all
  GET, DELETE /__emulator__/requests  the log of requests, without tokens
  GET /__emulator__/runs            every run; ?count=1: how many
  GET, PATCH /__emulator__/behaviour  the switches, also while it runs
  POST /__emulator__/cancel         cancel all active runs"""


def _describe(name: str, part: type[BaseModel]) -> list[str]:
    lines = [f"  {name}"]
    for key, field in part.model_fields.items():
        default = "required" if field.is_required() else f"{field.get_default(call_default_factory=True)!r}"
        note = f"  {field.description}" if field.description else ""
        lines.append(f"    {field.alias or key} ({default}){note}")
    return lines


CONFIGURATION = "\n".join(
    [
        "configuration file (key, default):",
        *(line for name, part in PARTS.items() for line in _describe(name, part)),
        "  id_base (70471823000000)  ids of runs, triggers and steps are above it",
        "  ui_url (None)  start of `href`",
    ]
)
