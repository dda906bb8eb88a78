"""The notebooks run from their first cell to their last, on a lake of packaged history and on an empty one."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from financelake_assets.config import Settings
from financelake_assets_tests.dash_app import written

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def outputs(notebook: Path, lake: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """Execute a notebook; all that its cells show, as text.

    Raises:
        CellExecutionError: a cell raised.
    """
    monkeypatch.setenv("FINANCELAKE_DATA_DIR", str(lake.data_dir))
    monkeypatch.setenv("MPLBACKEND", "agg")
    book = nbformat.read(notebook, as_version=4)
    # sockets in the file system, because anybody on the machine can reach TCP's
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(lake.data_dir.parent / "k"))
    NotebookClient(book, km=kernel, timeout=240).execute()
    shown = [out for cell in book.cells if cell.cell_type == "code" for out in cell.outputs]
    return "\n".join(out.get("text") or str(out.get("data", {}).get("text/plain", "")) for out in shown)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(data_dir=tmp_path_factory.mktemp("notebooks") / "lake")
    written.write_lake(settings)
    written.write_scorecard(settings, written.bars(written.SYMBOLS, skip_last=10))
    written.write_portfolio(settings)
    return settings


def test_the_look_at_signals_shows_signals_reasons_and_skill_with_its_interval(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = outputs(FOLDER / "signals.ipynb", filled, monkeypatch)
    for word in ("gold.signals", "BTC-USD", "HOLD", "skill_low", "no edge"):
        assert word in shown


def test_the_study_judges_the_newer_part_beside_the_naive_rule(
    filled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = outputs(FOLDER / "own_study.ipynb", filled, monkeypatch)
    for word in ("newer part", "naive: buy every day", "low", "high"):
        assert word in shown
    assert any(verdict in shown for verdict in ("No edge", "too few", "lost money", "Better than costs"))


def test_an_empty_lake_is_no_error_or_one_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Settings(data_dir=tmp_path / "empty")
    outputs(FOLDER / "signals.ipynb", empty, monkeypatch)
    with pytest.raises(CellExecutionError, match=r"no daily bars. Start it with `financelake up`"):
        outputs(FOLDER / "own_study.ipynb", empty, monkeypatch)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(notebook: Path) -> None:
    book = nbformat.read(notebook, as_version=4)
    nbformat.validate(book)
    assert all(not cell.outputs and cell.execution_count is None for cell in book.cells if cell.cell_type == "code")
