"""Tests that every file that the documentation for contributors names or links to exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
ROOMS = "stream|indexer|query|config|commands|tests|bench|tools|src|docs"


def linked(page):
    """Files that a page links to, relative to its folder."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return [page.parent / target for target in targets if "://" not in target]


def named(page):
    """Files of the checkout that a page names in code spans."""
    return [ROOT / name for name in re.findall(rf"`((?:{ROOMS})/[\w./-]+)`", page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    files = linked(page) + named(page)
    assert files
    assert [str(file) for file in files if not file.exists()] == []


def test_the_architecture_page_links_into_every_package():
    rooms = {str(file.resolve().parent.relative_to(ROOT)) for file in linked(PAGES[0])}
    stream = {
        str(folder.relative_to(ROOT)) for folder in (ROOT / "stream").iterdir() if (folder / "__init__.py").exists()
    }
    indexer = {f"indexer/{room}" for room in ("pipeline", "embed", "store", "live")}
    query = {f"query/{room}" for room in ("http", "client", "search", "scoring", "moments", "clips", "watches")}
    assert len(stream) == 4
    assert stream | indexer | query <= rooms


def test_decisions_and_other_pages_name_only_existing_files():
    pages = [page for page in (ROOT / "docs").rglob("*.md") if page not in PAGES]
    gone = {f"{page.name}: {file}" for page in pages for file in linked(page) + named(page) if not file.exists()}
    assert gone == set()


def test_the_readme_links_to_architecture_and_contributing():
    assert {PAGES[0], PAGES[1]} <= {file.resolve() for file in linked(PAGES[2])}
