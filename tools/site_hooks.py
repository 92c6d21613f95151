"""What mkdocs does beside its own for `make docs`: pages of the API, links out of docs/.

In docs/ links lead where GitHub finds them, such as ../../mocotf/errors.py. On the site those that
leave docs/ go to the repository, if mkdocs.yml knows one, and are text otherwise.
"""

import ast
import pathlib
import posixpath
import re

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
PAGE = "reference/api/{}.md"


def public_names():
    """Returns mocotf's public names, those of classes first, without importing it."""
    tree = ast.parse((ROOT / "mocotf/__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    raise PluginError("mocotf/__init__.py has no __all__")


def on_config(config):
    """Adds the pages of the API to the navigation."""
    config.nav.insert(-1, {"API": [{name: PAGE.format(name)} for name in public_names()]})
    return config


def on_files(files, config):
    """Adds a page for each public name, which mkdocstrings fills from its docstring."""
    for name in public_names():
        text = f"::: mocotf.{name}\n"
        files.append(File.generated(config, PAGE.format(name), content=text))
    return files


def on_page_markdown(markdown, page, config, **_):
    """Turns links that leave docs/ into links to the repository."""
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def turned(link):
        text, (path, _, anchor) = link[1], link[2].partition("#")
        target = posixpath.normpath(posixpath.join(folder, path))
        if "://" in link[2] or not path or target.startswith("docs/"):
            return link[0]
        if not (ROOT / target).exists():
            raise PluginError(f"{page.file.src_uri}: {link[2]}: no such file")
        if not config.repo_url:
            return text
        return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{target}{'#' * bool(anchor)}{anchor})"

    return LINK.sub(turned, markdown)
