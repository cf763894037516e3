"""What every tutorial has, so that a reader finds the same things in the same places."""

from __future__ import annotations

import ast
import re

from mmgraph.docs.tutorial import Tutorial

CARD = ("You will learn", "You need", "Time", "Memory", "Seed")
FROM_SCRATCH_LINES = 60
SOLUTIONS = 3

SECTIONS = {
    "From scratch": r"from scratch",
    "from YAML": r"\byaml\b",
    "What you should see": r"what you should see",
    "Break it": r"break it",
    "Exercises": r"exercises",
    "Recap": r"recap",
    "References": r"references",
    "Next": r"next",
}
"""What a heading is called, and how it is recognised in any heading (or bold lead-in) of the page."""

EQUAL = re.compile(r"\b(equal|array_equal|allclose|assert_close|approx|isclose)\(")

NOTHING_HIDDEN = re.compile(r"^\s*(?:from|import)\s+(\S+)", flags=re.MULTILINE)


def broken(tutorial: Tutorial) -> list[str]:
    """Return one line per convention that a tutorial breaks."""
    found = []
    first = tutorial.cells[0].source
    if not re.match(rf"# +{tutorial.number} +\S", first):
        found.append(f"the first cell must start with '# {tutorial.number} Title'")
    if not re.search(r"^\|", first, flags=re.MULTILINE):
        found.append("the first cell has no card (a Markdown table)")
    found += [f"the card does not say '{name}'" for name in CARD if name.lower() not in first.lower()]
    found += [f"no section '{name}'" for name, pattern in SECTIONS.items() if not _heading(tutorial, pattern)]
    if not any(EQUAL.search(cell.source) for cell in tutorial.code):
        found.append("no cell asserts that the plugin gives the same (torch.equal, allclose or assert_close)")
    solutions = sum(cell.solution for cell in tutorial.cells)
    if solutions < SOLUTIONS:
        found.append(f"{solutions} solutions of exercises; there must be {SOLUTIONS}")
    for cell in tutorial.code:
        if cell.solution and "assert" not in cell.source:
            found.append(f"line {cell.line}: the solution asserts nothing")
        draws = re.search(r"\bplt\.(subplots|figure)\(|\.imshow\(", cell.source)
        if draws and not cell.alt and "def " not in cell.source:  # a function is described where it is called
            found.append(f'line {cell.line}: the cell draws a figure and has no alt="..." in its header')
        for module in NOTHING_HIDDEN.findall(cell.source):
            if any(part.startswith("_") and part != "__future__" for part in module.split(".")):
                found.append(f"line {cell.line}: imports {module}, which is private")
        if "plt.show(" in cell.source:
            found.append(f"line {cell.line}: plt.show() is not needed, figures show at the end of the cell")
    lines = from_scratch_lines(tutorial)
    if lines > FROM_SCRATCH_LINES:
        found.append(f"the part from scratch has {lines} lines of code; at most {FROM_SCRATCH_LINES}")
    return found


def _headings(source: str) -> list[str]:
    return re.findall(r"^(?:#{2,4} +|\*\*|!!! \w+ \"?)(.+)$", source, flags=re.MULTILINE)


def _heading(tutorial: Tutorial, pattern: str) -> bool:
    texts = [cell.source for cell in tutorial.cells if cell.kind == "markdown"]
    return any(re.search(pattern, heading, flags=re.IGNORECASE) for text in texts for heading in _headings(text))


def from_scratch_lines(tutorial: Tutorial) -> int:
    """Return the lines of the method between each heading 'from scratch' and the next of its level."""
    lines, level = 0, ""
    for cell in tutorial.cells:
        if cell.kind == "markdown":
            for marks, text in re.findall(r"^(#{2,4}) +(.+)$", cell.source, flags=re.MULTILINE):
                if re.search(SECTIONS["From scratch"], text, flags=re.IGNORECASE):
                    level = marks
                elif level and len(marks) <= len(level):
                    level = ""
        elif level and not cell.alt and not cell.solution:
            lines += _code_lines(cell.source)
    return lines


def _code_lines(source: str) -> int:
    """Return the lines of a cell's classes and functions, without docstrings, comments and blanks.

    What stands outside them prepares data, trains, prints and checks: the use of the method and not the method.
    """
    numbers: set[int] = set()
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            numbers.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            for inner in ast.walk(node):
                if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant):
                    numbers -= set(range(inner.lineno, (inner.end_lineno or inner.lineno) + 1))
    return sum(bool(lines[number - 1].partition("#")[0].strip()) for number in numbers)
