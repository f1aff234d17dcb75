"""The public contract, as `tests/contract.toml` has it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).resolve().parents[1] / "contract.toml"


@dataclass(frozen=True, kw_only=True)
class PublicInput:
    name: str
    meaning: str
    default: str = ""  # as the README shows it
    required: bool = False
    choices: tuple[str, ...] = ()
    variable: str = ""  # read when the input is not given
    example: str = ""

    @property
    def other(self) -> str:
        """A value that is not the default."""
        return self.example or next(word for word in self.choices if word != self.default)


def read_contract() -> tuple[dict[str, PublicInput], dict[str, str]]:
    """The inputs, and the meaning of each output, by name."""
    content = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    inputs = {
        name: PublicInput(**entry | {"name": name, "choices": tuple(entry.get("choices", ()))})
        for name, entry in content["inputs"].items()
    }
    return inputs, {name: entry["meaning"] for name, entry in content["outputs"].items()}


INPUTS, OUTPUTS = read_contract()
