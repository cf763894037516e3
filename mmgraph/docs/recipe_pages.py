"""The recipe catalogue: one page per recipe, from its header comment and its YAML."""

from __future__ import annotations

import re
from pathlib import Path

from mmgraph import recipes
from mmgraph.docs import committed, recipe_tables
from mmgraph.docs.places import Places
from mmgraph.docs.plugin_pages import linked

FIELDS = ("Paper", "Shows", "Protocol", "Time", "Memory", "Expect")
"""What a recipe's header says after its title."""


def fields(path: Path) -> dict[str, str]:
    """Return the header of a recipe by field."""
    text = " ".join(recipes.description(path).split())
    parts = re.split(rf"(?:^|(?<=\. ))({'|'.join(FIELDS)}): ", text)
    return {name: value.strip() for name, value in zip(parts[1::2], parts[2::2], strict=True)}


def shipped(places: Places) -> list[str]:
    """Return the recipes of the checkout, whatever else is installed beside it."""
    return [
        name
        for name in recipes.names()
        if any(path.resolve().is_relative_to(places.root) for _, path in recipes.places(name))
    ]


def write(places: Places, folder: Path) -> list[tuple[str, str]]:
    """Write the catalogue; return (title, page) of each page, for the navigation."""
    folder = folder / "recipes"
    folder.mkdir(parents=True, exist_ok=True)
    pages = [("All recipes", "generated/recipes/index.md")]
    found, golden = committed.of_recipes(places.results), committed.golden(places.results)
    rows = []
    for name in shipped(places):
        path = recipes.find(name)
        header = fields(path)
        measured = recipe_tables.of_recipe(found.get(name, []), golden.get(name), places.studies)
        (folder / f"{name}.md").write_text(_page(name, path, header, measured), encoding="utf-8")
        pages.append((name, f"generated/recipes/{name}.md"))
        time, memory = (header.get(field, "").rstrip(".") for field in ("Time", "Memory"))
        rows.append(f"| [`{name}`]({name}.md) | {_sentence(recipes.title(path))} | {time} | {memory} |")
    text = [
        "# Recipes\n",
        "A recipe is a configuration that trains as it is, with the time it takes and the numbers it reaches. "
        "`mmgraph recipes list` shows the same table; "
        "[Write a recipe](../../howto/own-recipe.md) tells how to make one of your own. "
        "Their measured numbers side by side are on the page [Results](../results.md).\n",
        "| recipe | what it is | time | memory |\n|---|---|---|---|",
        *rows,
    ]
    (folder / "index.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    return pages


def _sentence(title: str) -> str:
    return title[:1].upper() + title[1:]


def _page(name: str, path: Path, header: dict[str, str], measured: list[str]) -> str:
    trained = path.read_text(encoding="utf-8")
    commands = [f"mmgraph fit -c {name} --run runs/{name}/0", f"mmgraph evaluate --run runs/{name}/0"]
    parts = [f"# `{name}`\n", f"{recipes.title(path)}.\n"]
    parts += [f"**{field}.** {linked(value)}\n" for field, value in header.items()]
    parts.append("## Run it\n\n```console\n" + "\n".join(f"$ {command}" for command in commands) + "\n```\n")
    parts += measured
    yaml = "\n".join(f"    {line}" if line else "" for line in trained.splitlines())
    folded = f'??? example "The YAML"\n\n    ```yaml\n{yaml}\n    ```\n'
    parts.append(f"<div data-search-exclude markdown>\n\n{folded}\n</div>\n")  # its comments are the page's text above
    return "\n".join(parts)
