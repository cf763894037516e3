"""How a sample becomes a loss, drawn: `python docs/figures/data_flow.py` writes docs/assets/data-flow.svg."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[1] / "assets"
INK, FAINT, CARD, LINE = "#1b2433", "#5a6474", "#ffffff", "#8b93a3"
TEXT, IMAGE, SHARED = "#d7e7f6", "#fbe3d4", "#e8ebf1"
LEFT, RIGHT, BOTH = (24, 268), (308, 268), (24, 552)
"""Where a box of the text, of the picture, and of both stands: x and width."""

ROWS = (
    ("segments", ((LEFT, TEXT, "text", '"a red fox"'), (RIGHT, IMAGE, "picture", "uint8 (C, height, width)"))),
    ("processor", ((BOTH, SHARED, "spans", "which tokenizer, connector and head; context or target"),)),
    (
        "tokenizer",
        (
            (LEFT, TEXT, "codes", "(n,) int64, such as 17 4 92"),
            (RIGHT, IMAGE, "vectors", "(n, d), such as 9 x 48"),
        ),
    ),
    (
        "head.prepare",
        (
            (LEFT, TEXT, "inputs and targets", "shifted by one"),
            (RIGHT, IMAGE, "x_t = (1 - t) noise + t x", "one t a picture"),
        ),
    ),
    (
        "vocabulary, connector",
        ((LEFT, TEXT, "embeddings", "(n, D), rows of a table"), (RIGHT, IMAGE, "embeddings", "(n, D), a linear map")),
    ),
    (
        "assembler",
        ((BOTH, SHARED, "MultimodalSequence (B, L, D)", "embeddings + layout (order, timed, ...) + memory"),),
    ),
    (
        "blocks",
        ((BOTH, SHARED, "hidden states (B, L, D)", "attention under the layout's one mask; t modulates its picture"),),
    ),
    (
        "head.loss",
        ((LEFT, TEXT, "cross-entropy", "next_token"), (RIGHT, IMAGE, "squared error of the velocity", "flow")),
    ),
    ("sum", ((BOTH, SHARED, "loss", "weighted sum of both, each over its count"),)),
)
HEIGHT, GAP = 46, 34


def draw() -> str:
    """Return the drawing as SVG, on a light card of its own that reads the same in both schemes."""
    width, height = 600, 24 + len(ROWS) * (HEIGHT + GAP) - GAP + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="ui-sans-serif, system-ui, sans-serif">',
        "<title>From the segments of a sample to a loss</title>",
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{LINE}"/></marker></defs>',
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10" fill="{CARD}" stroke="{LINE}"/>',
    ]
    for number, (step, boxes) in enumerate(ROWS):
        y = 24 + number * (HEIGHT + GAP)
        for (x, wide), fill, title, detail in boxes:
            middle = x + wide / 2
            lines += [
                f'<rect x="{x}" y="{y}" width="{wide}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="{LINE}"/>',
                f'<text x="{middle:g}" y="{y + 19}" text-anchor="middle" fill="{INK}" font-size="14" '
                f'font-weight="600">{escape(title)}</text>',
                f'<text x="{middle:g}" y="{y + 36}" text-anchor="middle" fill="{FAINT}" font-size="12">'
                f"{escape(detail)}</text>",
            ]
        if number:
            for x, wide in (LEFT, RIGHT):
                at = x + wide / 2
                lines.append(
                    f'<path d="M{at:g} {y - GAP + 3}V{y - 3}" stroke="{LINE}" stroke-width="1.5" '
                    'marker-end="url(#tip)"/>'
                )
            lines.append(
                f'<text x="300" y="{y - GAP / 2 + 4:g}" text-anchor="middle" fill="{INK}" font-size="12" '
                f'font-family="ui-monospace, Menlo, Consolas, monospace">{escape(step)}</text>'
            )
    return "\n".join((*lines, "</svg>", ""))


def main(output_folder: Path = ASSETS) -> list[Path]:
    """Write the drawing and return its file."""
    output_folder.mkdir(parents=True, exist_ok=True)
    path = output_folder / "data-flow.svg"
    path.write_text(draw(), encoding="utf-8")
    return [path]


if __name__ == "__main__":
    print("\n".join(map(str, main(Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS))))
