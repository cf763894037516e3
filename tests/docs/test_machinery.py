"""From a source to its page, figures and notebook, in a checkout made for the test."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from mmgraph import __version__
from mmgraph.docs import figures, navigation, places, recipe_pages, running, site, tutorial
from mmgraph.docs.places import Places
from mmgraph.errors import RunError, UsageError

ROOT = Path(__file__).parent.parent.parent

SOURCE = r"""# %% [markdown]
# # 07 A "small" title
#
# A promise.
#
# | You will learn | Seed |
# |---|---|
# | nothing | 0 |

# %%
import os
print("here:", os.getcwd())
print("half\rwhole")
6 * 7

# %% alt="A line that rises from 0 to 1, it's \"straight\" [really]"
import matplotlib.pyplot as plt
plt.plot([0, 1], [0, 1])

# %% tags=["solution"]
# Exercise 1: nothing at all
assert True
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Places:
    (tmp_path / "tutorials").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text("nav:\n  # begin tutorials\n  # end tutorials\n", encoding="utf-8")
    return places.find(tmp_path)


def put(checkout: Places, text: str = SOURCE) -> tutorial.Tutorial:
    path = checkout.sources / "07_small.py"
    path.write_text(text, encoding="utf-8")
    return tutorial.read(path)


def never(*_: object) -> None:
    raise AssertionError("it ran again")


def test_a_tutorial_becomes_page_figures_and_notebook_and_runs_once(
    checkout: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(checkout)
    assert site.tutorials(checkout) == [('07 A "small" title', "tutorials/07_small.md")]
    page = (checkout.tutorial_pages / "07_small.md").read_text(encoding="utf-8")
    assert "```text\nhere: .\nwhole\n```" in page  # no path of this machine, and only the last state of a line
    assert "```text\n42\n```" in page
    assert "s CPU, 0." in page
    assert "[Download the notebook](07_small.ipynb)" in page
    assert "matplotlib.lines" not in page  # the repr of the last artist
    assert '??? success "Exercise 1: nothing at all"\n\n    <div data-search-exclude' in page
    assert "\n\n    ```python\n    # Exercise 1" in page
    assert page.count("data-search-exclude") == page.count("```python") + page.count("```text")
    alt = "A line that rises from 0 to 1, it&#x27;s &quot;straight&quot; &#91;really&#93;"
    assert f"![{alt}](07_small/01-1.svg#only-light)" in page or f"![{alt}](07_small/01-0.svg#only-light)" in page
    (light,) = [path for path in (checkout.tutorial_pages / "07_small").glob("*.svg") if "dark" not in path.name]
    dark = light.with_name(light.stem + "-dark.svg").read_text(encoding="utf-8")
    assert figures.INK in light.read_text(encoding="utf-8")
    assert figures.INK not in dark
    assert figures.DARK_INK in dark

    notebook = json.loads((checkout.tutorial_pages / "07_small.ipynb").read_text(encoding="utf-8"))
    assert f'"{__version__}"' in "".join(notebook["cells"][0]["source"])
    assert "pip install" in "".join(notebook["cells"][0]["source"])
    assert notebook["metadata"]["mmgraph"]["version"] == __version__
    assert notebook["cells"][-1]["metadata"]["jupyter"] == {"source_hidden": True}
    assert all(not cell.get("outputs") for cell in notebook["cells"])

    # from here on nothing may run: neither the same file, nor one whose words have changed, nor a draft of new code
    monkeypatch.setattr(running, "execute", never)
    site.tutorials(checkout)
    put(checkout, SOURCE.replace("A promise.", "Another promise."))
    site.tutorials(checkout)
    assert "Another promise." in (checkout.tutorial_pages / "07_small.md").read_text(encoding="utf-8")
    put(checkout, SOURCE.replace("6 * 7", "6 * 8"))
    site.tutorials(checkout, draft=True)
    with pytest.raises(AssertionError, match="it ran again"):
        site.tutorials(checkout)

    (checkout.sources / "07_small.py").unlink()
    site.tutorials(checkout)
    assert list(checkout.tutorial_pages.iterdir()) == []


def test_as_many_run_at_a_time_as_are_asked_for_and_pages_keep_their_order(
    checkout: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("08", "09", "10"):
        text = f"# %% [markdown]\n# # {number} T\n\n# %%\nx = {number[-1]}\n"
        (checkout.sources / f"{number}_t.py").write_text(text, encoding="utf-8")
    both, running_now, most = threading.Barrier(2), [], []

    def execute(read: tutorial.Tutorial) -> running.Outcome:
        running_now.append(read.number)
        most.append(len(running_now))
        if read.number in ("08", "09"):
            both.wait(20)  # the first is not done before the second has begun
        running_now.remove(read.number)
        return running.Outcome(((),), 1.0, 0.1)

    monkeypatch.setattr(running, "execute", execute)
    pages = site.tutorials(checkout, jobs=2)
    assert [page for _, page in pages] == [f"tutorials/{number}_t.md" for number in ("08", "09", "10")]
    assert max(most) == 2
    assert capsys.readouterr().out.splitlines()[0].startswith("08_t:")


def test_the_key_changes_with_the_code_it_uses(checkout: Places) -> None:
    read = put(checkout)
    before = running.key(read, checkout)
    (checkout.root / "plugins").mkdir()
    (checkout.root / "plugins" / "part.py").write_text("x = 1", encoding="utf-8")
    with_plugin = running.key(read, checkout)
    (checkout.root / "plugins" / "part.py").write_text("x = 2", encoding="utf-8")
    assert len({before, with_plugin, running.key(read, checkout)}) == 3


def test_the_key_changes_with_the_results_it_names(checkout: Places) -> None:
    read = put(checkout, "# %% [markdown]\n# # 07 T\n\n# %%\nfile = 'mine.jsonl'\n")
    keys = [running.key(read, checkout)]
    checkout.results.mkdir(parents=True)
    for name, text in (("other.jsonl", "1"), ("mine.jsonl", "1"), ("mine.jsonl", "2")):
        (checkout.results / name).write_text(text, encoding="utf-8")
        keys.append(running.key(read, checkout))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_failing_cell_is_named_with_its_source(checkout: Places) -> None:
    put(checkout, "# %% [markdown]\n# # 07 T\n\n# %%\nx = 1\nassert x == 2, 'one is not two'\n")
    with pytest.raises(RunError) as error:
        site.tutorials(checkout)
    text = str(error.value)
    assert text.startswith("07_small.py, line 4: AssertionError: one is not two\nin the cell\n    x = 1\n--> assert")
    assert "1 of 1 tutorials failed." in text


def test_figures_and_their_words_must_agree(checkout: Places) -> None:
    from mmgraph.docs import rendering

    read = put(checkout, '# %% [markdown]\n# # 07 T\n\n# %% alt="a dot"\nx = 1\n')
    bare = put(checkout, "# %% [markdown]\n# # 07 T\n\n# %%\nx = 1\n")
    empty = put(checkout, '# %% [markdown]\n# # 07 T\n\n# %% alt=" "\nx = 1\n')
    figure = running.Output("svg", "<svg></svg>")
    none, one = running.Outcome(((),), 1.0, 0.1), running.Outcome(((figure,),), 1.0, 0.1)
    for wrong, outcome, said in (
        (read, none, "line 4: the cell shows 0 figures and describes 1"),
        (bare, one, "line 4: the cell shows 1 figures and describes 0"),
        (empty, one, "alt text is empty"),
    ):
        with pytest.raises(UsageError, match=said):
            rendering.write(wrong, outcome, checkout)


@pytest.mark.parametrize(
    ("header", "said"),
    [('tags=["hidden"]', "tagged 'hidden'"), ('atl="a"', "unknown metadata 'atl'. Did you mean 'alt'")],
)
def test_unknown_headers_are_refused(checkout: Places, header: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        put(checkout, f"# %% [markdown]\n# # 07 T\n\n# %% {header}\nx = 1\n")


def test_a_name_without_a_number_and_an_unknown_number_are_refused(checkout: Places) -> None:
    wrong = checkout.sources / "Small.py"
    wrong.write_text("x = 1", encoding="utf-8")
    with pytest.raises(UsageError, match="NN_slug"):
        tutorial.read(wrong)
    put(checkout)
    assert [path.stem for path in tutorial.paths(checkout.sources, ("07",))] == ["07_small"]
    with pytest.raises(UsageError, match="no tutorial '8'"):
        tutorial.paths(checkout.sources, ("8",))


def test_the_dark_figure_turns_what_is_black_by_default() -> None:
    svg = f'<svg width="1"><path style="fill: {figures.INK}"/><path d="M 0 0"/><path style="stroke: #000000"/></svg>'
    dark = figures.dark(svg)
    assert dark.startswith(f'<svg fill="{figures.DARK_INK}" width')
    assert dark.count(figures.DARK_INK) == 3
    assert "#000000" not in dark


def test_navigation_is_written_between_its_markers() -> None:
    text = "nav:\n  - A: a.md\n  # begin tutorials\n  - old: old.md\n  # end tutorials\n  - B: b.md\n"
    wanted = (
        'nav:\n  - A: a.md\n  # begin tutorials\n  - "07 What: a \\"title\\"": t.md\n  # end tutorials\n  - B: b.md\n'
    )
    assert navigation.updated(text, {"tutorials": [('07 What: a "title"', "t.md")]}) == wanted
    with pytest.raises(UsageError, match="# begin plugins"):
        navigation.updated(text, {"plugins": []})


def test_the_committed_navigation_is_up_to_date(tmp_path: Path) -> None:
    here = places.find(ROOT)
    sections = {
        "tutorials": [site.listed(tutorial.read(path)) for path in tutorial.paths(here.sources)],
        **site.generate(here, tmp_path),
    }
    text = here.config.read_text(encoding="utf-8")
    assert navigation.updated(text, sections) == text, "run: python -m mmgraph.docs pages"
    assert len(list(tmp_path.rglob("*.md"))) > 60


def test_a_recipe_header_is_read_by_field(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "# A title\n#\n# Paper: Someone, 2024 (arXiv 2408.11039).\n# Shows: one thing. And\n#   another.\n"
        "# Time: 6 CPU-min. Memory: 1.2 GB.\n# Expect: R@1 .8.\nmodel: 1\n",
        encoding="utf-8",
    )
    assert recipe_pages.fields(path) == {
        "Paper": "Someone, 2024 (arXiv 2408.11039).",
        "Shows": "one thing. And another.",
        "Time": "6 CPU-min.",
        "Memory": "1.2 GB.",
        "Expect": "R@1 .8.",
    }


def test_outside_a_checkout_it_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mkdocs\.yml"):
        places.find(tmp_path)
