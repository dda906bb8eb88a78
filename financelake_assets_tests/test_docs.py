"""The docs are true to the tree: links and paths lead somewhere, prose is short, and both lists of checks are one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROSE = [page for page in DOCS if page.name != "CHANGELOG.md"]
LONGEST = 120
CODE_PATH = re.compile(r"`((?:[a-z_]+/)+[a-z_]*\.(?:py|sh|yaml|toml))`")


def _outside_code(text: str) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_of_prose_is_longer_than_a_reader_likes(page: Path) -> None:
    long = [
        number
        for number, line in _outside_code(page.read_text())
        if len(line) > LONGEST and not line.startswith(("|", "#")) and " " in line.strip("- ")
    ]
    assert long == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    text = "\n".join(line for _, line in _outside_code(page.read_text()))
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = "\n".join(line for _, line in _outside_code(page.read_text()))
    named = CODE_PATH.findall(text)
    assert [
        name for name in named if not any((place / name).exists() for place in (ROOT, ROOT / "financelake_assets"))
    ] == []


def _commands(text: str) -> set[str]:
    return {" ".join(words.split()[:2]) for words in re.findall(r"uv run --no-sync ([a-z-]+(?: [a-z]+)?)", text)}


def test_pre_commit_and_ci_check_the_same_things() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    at_commit = _commands("\n".join(hook["entry"] for hook in hooks))
    in_ci = _commands((ROOT / ".ci" / "run").read_text())
    assert {"ruff check", "ruff format", "mypy", "lint-imports", "dagster definitions", "mkdocs build"} <= in_ci
    assert at_commit == in_ci
    assert (
        "--quiet" not in (ROOT / ".ci" / "run").read_text().split("mkdocs build")[1].splitlines()[0]
    )  # it hides warnings
    assert "uv lock --check" in {hook["entry"] for hook in hooks}
    assert "uv lock --check" in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_workflow_runs_ci_on_every_python_that_the_package_supports() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["checks"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert 'requires-python = ">=3.11,<3.14"' in (ROOT / "pyproject.toml").read_text()
    assert job["steps"][-1]["run"] == ".ci/run"
    assert "UV_PYTHON" in job["env"]
