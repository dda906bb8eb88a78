"""How far a search is and what it found, in a small file of each market that all processes of a lake read.

Input: a market, and what its search tells. Output: the state, in numbers and in words. The page reads it too, so
nothing here needs optuna, Spark or Dagster.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import structlog

from financelake_assets.config import ModelSettings, Settings
from financelake_assets.errors import FinanceLakeError
from financelake_assets.files import read_json, write_whole
from financelake_assets.model.markets import Market, in_words

log = structlog.get_logger(__name__)

_SILENT = timedelta(minutes=20)
"""A search that has said nothing for so long was killed: it speaks after each fold."""


@dataclass(frozen=True)
class SearchState:
    """How far a search is.

    ``wanted``: trials in all. ``done``: judged, ``pruned`` of them given up before their last fold. ``cut_off``: begun
    and never judged; they count nowhere. ``own``: the skill of the lake's own settings; ``best``: the best skill, of
    ``parameters``. ``seconds``: the mean time of a trial. ``trial`` and ``fold``: what is judged now. ``told_at`` and
    ``begun_at`` are ISO 8601.
    """

    market: str
    state: Literal["runs", "stopped", "ended"]
    wanted: int
    silver_version: int
    begun_at: str
    told_at: str = ""
    run: str = ""
    done: int = 0
    pruned: int = 0
    cut_off: int = 0
    trial: int = 0
    fold: int = 0
    own: float | None = None
    best: float | None = None
    seconds: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> timedelta | None:
        """About how long the trials that are left take; ``None`` before the first is judged."""
        return None if self.seconds is None else timedelta(seconds=self.seconds * max(0, self.wanted - self.done))

    @property
    def sentence(self) -> str:
        """The state in words."""
        told = f"{self.done} of {self.wanted} trials"
        if self.best is not None:
            told += f", best skill {self.best:+.2%}"
        if self.own is not None:
            told += f" (the lake's own settings {self.own:+.2%})"
        if self.state == "ended":
            return f"ended: {told}"
        if self.state == "stopped":
            return f"stopped after {told}; `financelake tune --market {self.market}` continues it"
        return told if self.left is None else f"{told}; about {in_words(self.left)} to go"


def folder(settings: Settings) -> Path:
    """Where the searches of a lake are kept."""
    return settings.models_dir / "searches"


def tell(settings: Settings, state: SearchState) -> None:
    """Write how far a search is. A full disk must not end it: its trials are kept elsewhere."""
    told = asdict(state) | {"told_at": datetime.now(UTC).isoformat()}
    try:
        write_whole(_file(settings, state.market), json.dumps(told))
    except OSError as error:
        log.warning("the search cannot say how far it is", market=state.market, error=str(error))


def read(settings: Settings, market: Market) -> SearchState | None:
    """How far a market's search is; ``None`` where there was none."""
    return _parsed(_file(settings, market.name))


def of_lake(settings: Settings) -> dict[str, str]:
    """By market, how far its search is, in words."""
    found = (_parsed(file) for file in sorted(folder(settings).glob("*.json")))
    return {state.market: state.sentence for state in found if state is not None}


def chosen(settings: Settings, market: Market, own: ModelSettings) -> ModelSettings:
    """The lake's settings for a market with what its search found.

    Raises:
        FinanceLakeError: there was no search, or it has not ended.
    """
    found = read(settings, market)
    if found is None or found.state != "ended":
        how_far = "there was none" if found is None else found.sentence
        raise FinanceLakeError(
            f"The search of {market.name} has no result: {how_far}.",
            remedy=f"`financelake tune --market {market.name}` searches.",
        )
    return ModelSettings.model_validate({**own.model_dump(), **found.parameters})


def _file(settings: Settings, market: str) -> Path:
    return folder(settings) / f"{market}.json"


def _parsed(file: Path) -> SearchState | None:
    told = read_json(file)
    if told is None:
        return None
    try:
        state = SearchState(**told)
    except TypeError:  # of another release
        return None
    silent = state.state == "runs" and datetime.now(UTC) - datetime.fromisoformat(state.told_at) > _SILENT
    return replace(state, state="stopped") if silent else state
