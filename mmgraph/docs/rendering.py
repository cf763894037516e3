"""From a tutorial and what it gave to its page, its figures and its notebook."""

from __future__ import annotations

import base64
import html
import re
import textwrap
from pathlib import Path
from typing import Any

from mmgraph import __version__
from mmgraph.docs import figures
from mmgraph.docs.places import Places
from mmgraph.docs.running import Outcome, Output
from mmgraph.docs.tutorial import Cell, Tutorial
from mmgraph.errors import UsageError

PINNED = f"""# This notebook belongs to mmgraph {__version__}. In a checkout of that version:  pip install -e .
# or from a package index that holds it:  pip install "mmgraph=={__version__}"
import mmgraph

assert mmgraph.__version__ == "{__version__}", f"made for mmgraph {__version__}, not {{mmgraph.__version__}}\""""


def write(tutorial: Tutorial, outcome: Outcome | None, places: Places) -> None:
    """Write the page, the figures and the notebook of a tutorial into `docs/tutorials/`.

    Args:
        tutorial: Its source.
        outcome: What it gave; without it the page says that it has not been run.
        places: The checkout.

    Raises:
        UsageError: If a figure has no alt text, or an alt text has no figure.
    """
    folder = places.tutorial_pages
    clear(tutorial.slug, folder)
    pictures = folder / tutorial.slug
    parts = []
    code = solutions = 0
    for position, cell in enumerate(tutorial.cells):
        if cell.kind == "markdown":
            parts.append(cell.source)
            if position == 0:
                parts.append(_measured(tutorial, outcome))
            continue
        block = _unsearched(_fenced(cell.source, "python"))
        shown = [block]
        if outcome is not None:
            shown += _shown(cell, outcome.outputs[code], pictures, f"{code:02d}", tutorial)
        code += 1
        if cell.solution:
            solutions += 1
            body = textwrap.indent("\n\n".join(shown), "    ")
            parts.append(f'??? success "{_solution_title(cell, solutions)}"\n\n{body}')
        else:
            parts += shown
    source = f"{_described(tutorial)}\n" + "\n\n".join(parts) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{tutorial.slug}.md").write_text(source, encoding="utf-8")
    notebook(tutorial, folder / f"{tutorial.slug}.ipynb")


def clear(slug: str, folder: Path) -> None:
    """Remove what an earlier build made of a tutorial."""
    for path in (*folder.glob(f"{slug}/*"), folder / f"{slug}.md", folder / f"{slug}.ipynb"):
        path.unlink(missing_ok=True)
    if (folder / slug).is_dir():
        (folder / slug).rmdir()


def _described(tutorial: Tutorial) -> str:
    return f"---\ndescription: {_quoted(tutorial.title)}\n---\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "").replace('"', "'").replace("`", "") + '"'


def _measured(tutorial: Tutorial, outcome: Outcome | None) -> str:
    if outcome is None:
        made = "Not run yet: this page shows the code without what it gives."
    else:
        made = f"Rendered in {outcome.cpu_seconds:.0f} s CPU, {outcome.memory_gb:.1f} GB, with mmgraph {__version__}."
    link = f"[Download the notebook]({tutorial.slug}.ipynb){{ .notebook download }}"
    return f'<div class="measured" markdown="span">{made} {link}</div>'


def _solution_title(cell: Cell, number: int) -> str:
    first = cell.source.partition("\n")[0]
    if re.match(r"#+ *(solution|exercise)", first, flags=re.IGNORECASE):
        return html.escape(first.lstrip("# ").rstrip(" .:"))
    return f"Solution {number}"


def _unsearched(block: str, attributes: str = "") -> str:
    """Keep code and what it prints out of the search index, which every page loads: their words are in the text."""
    return f'<div {attributes}data-search-exclude markdown="1">\n\n{block}\n\n</div>'


def _fenced(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _shown(cell: Cell, outputs: tuple[Output, ...], folder: Path, name: str, tutorial: Tutorial) -> list[str]:
    """Return the Markdown of a cell's outputs, writing its pictures."""
    pictures = [output for output in outputs if output.kind in ("svg", "png")]
    where = f"{tutorial.path.name}, line {cell.line}"
    if len(pictures) != len(cell.alt):
        raise UsageError(
            f"{where}: the cell shows {len(pictures)} figures and describes {len(cell.alt)}. "
            'Give each its words in the cell\'s header: # %% alt="..." (or alt=["...", "..."]).'
        )
    if any(not alt.strip() for alt in cell.alt):
        raise UsageError(f"{where}: an alt text is empty; say what the figure shows, with its numbers.")
    shown = []
    words = iter(cell.alt)
    for number, output in enumerate(outputs):
        if output.kind == "markdown":
            shown.append(output.content)
        elif output.kind == "text":
            if output.content.strip():
                shown.append(_unsearched(_fenced(output.content, "text"), 'class="output" '))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shown.append(_picture(output, next(words), folder, f"{name}-{number}"))
    return shown


def _picture(output: Output, alt: str, folder: Path, name: str) -> str:
    words = html.escape(" ".join(alt.split()), quote=True).replace("[", "&#91;").replace("]", "&#93;")
    if output.kind == "png":
        (folder / f"{name}.png").write_bytes(base64.b64decode(output.content))
        return f"![{words}]({folder.name}/{name}.png){{ .figure }}"
    svg = re.sub(r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*", "", output.content, flags=re.DOTALL)
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    (folder / f"{name}-dark.svg").write_text(figures.dark(svg), encoding="utf-8")
    one = f"![{words}]({folder.name}/{name}.svg#only-light){{ .figure loading=lazy }}"
    other = f"![{words}]({folder.name}/{name}-dark.svg#only-dark){{ .figure loading=lazy }}"
    return f"{one}\n{other}"


def notebook(tutorial: Tutorial, path: Path) -> None:
    """Write the notebook to download: no outputs, solutions folded, pinned to this version in its first cell."""
    import nbformat

    form: Any = nbformat.v4
    cells = [form.new_code_cell(PINNED, id="pinned")]
    for number, cell in enumerate(tutorial.cells):
        name = f"cell-{number:03d}"
        if cell.kind == "markdown":
            cells.append(form.new_markdown_cell(cell.source, id=name))
        else:
            metadata: dict[str, Any] = {"alt": list(cell.alt)} if cell.alt else {}
            if cell.solution:
                metadata |= {"tags": ["solution"], "jupyter": {"source_hidden": True}}
            cells.append(form.new_code_cell(cell.source, id=name, metadata=metadata))
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "mmgraph": {"version": __version__, "tutorial": tutorial.slug},
    }
    made = form.new_notebook(cells=cells, metadata=metadata)
    nbformat.validate(made)
    path.write_text(nbformat.writes(made) + "\n", encoding="utf-8")
