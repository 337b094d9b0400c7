"""Hooks of mkdocs: the generated reference pages become pages of the site."""

import pathlib
import sys

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import generate  # noqa: E402


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of generate.py."""
    for path, text in generate.pages().items():
        files.append(File.generated(config, path, content=text))
    return files
