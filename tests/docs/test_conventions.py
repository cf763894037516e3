"""Every tutorial keeps the conventions; and the check notices each that is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmgraph.docs import conventions, places, tutorial

PATHS = tutorial.paths(places.find(Path(__file__)).sources)

GOOD = """# %% [markdown]
# # 07 A title
#
# A promise.
#
# | You will learn | You need | Time | Memory | Seed |
# |---|---|---|---|---|
# | a | b | c | d | e |

# %% [markdown]
# ## From scratch

# %%
x = 1

# %% [markdown]
# ## The same through the plugin

# %%
from math import isclose
assert isclose(x, 1)

# %% [markdown]
# ## From YAML
# ### What you should see
# ## Break it
# ## Exercises

# %% tags=["solution"]
assert x

# %% tags=["solution"]
assert x == 1

# %% tags=["solution"]
assert x + 1

# %% [markdown]
# ## Recap
# ## References
# ## Next
"""


def check(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "07_a_title.py"
    path.write_text(text, encoding="utf-8")
    return conventions.broken(tutorial.read(path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_tutorial_keeps_the_conventions(path: Path) -> None:
    assert conventions.broken(tutorial.read(path)) == []


def test_a_good_one_breaks_nothing(tmp_path: Path) -> None:
    assert check(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# # 07 A", "# # 08 A", "'# 07 Title'"),
        ("| Seed |", "| Luck |", "'Seed'"),
        ("## From scratch", "## By hand", "'From scratch'"),
        ("# ## Break it\n", "", "'Break it'"),
        ("assert isclose(x, 1)", "x", "plugin gives the same"),
        ("# ## Recap\n", "", "'Recap'"),
        ('# %% tags=["solution"]\nassert x\n', "", "2 solutions"),
        ("assert x + 1", "x + 1", "asserts nothing"),
        ("\nx = 1\n", "\nx = 1\ndef f():\n" + "    x = 1\n" * 60, "61 lines"),
        ("\nx = 1\n", "\nimport matplotlib.pyplot as plt\nplt.figure()\n", "no alt"),
        ("\nx = 1\n", "\nx = 1\nplt.show()\n", "plt.show"),
        ("\nx = 1\n", "\nfrom mmgraph.models._hidden import x\n", "private"),
    ],
)
def test_each_broken_convention_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    assert any(said in line for line in check(tmp_path, GOOD.replace(old, new)))


def test_comments_docstrings_and_what_stands_outside_the_method_do_not_count(tmp_path: Path) -> None:
    text = GOOD.replace(
        "\nx = 1\n",
        '\nx = 1\ndef f():\n    """Say.\n\n    More.\n    """\n' + "    # why\n\n    x = 1\n" * 59 + "x = 1\n" * 9,
    )
    assert check(tmp_path, text) == []
