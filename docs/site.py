"""The site beside the pages of this folder: the README as its home, and the other texts of the repository."""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "ARCHITECTURE.md": "architecture.md",
    "benchmarks/RESULTS.md": "results.md",
}
LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the texts, and let the list of repositories be the index of its folder."""
    for source, target in TEXTS.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point links at where things are on the site; to files that are not on it there is none."""
    here = page.file.src_uri
    source = next((each for each, target in TEXTS.items() if target == here), f"docs/{here}")

    def moved(found: re.Match[str]) -> str:
        text, path, part = found[1], found[2], found[3] or ""
        full = os.path.normpath(PurePosixPath(source).parent / path)
        if full not in TEXTS and not full.startswith("docs/"):
            return text
        target = TEXTS.get(full) or full.removeprefix("docs/")
        if target == "repositories":
            target = "repositories/README.md"
        return f"[{text}]({'../' * here.count('/')}{target}{part})"

    return LINK.sub(moved, markdown)
