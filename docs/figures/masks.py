"""Attention masks, drawn from the layouts that the model itself uses: `python docs/figures/masks.py`.

Writes one SVG per mask into docs/assets. The pictures carry their own light card, so that they read the same in the
site's light and dark schemes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mmgraph.sequence import MODALITIES, Layout, Piece, lay_out

ASSETS = Path(__file__).resolve().parents[1] / "assets"
CELL = 20
INK, FAINT, CARD, LINE = "#1b2433", "#5a6474", "#ffffff", "#c9cfda"
READ = {"text": "#2f7fc1", "image": "#d9662b"}
SECOND = {"text": "#2a9d74", "image": "#b0559f"}
"""Colours of a second sample in the same row."""


@dataclass(frozen=True)
class Mask:
    """One picture.

    Args:
        name: Of the file, after `mask-`.
        title: What the picture says.
        samples: The pieces of each sample that shares the row.
        words: The label of each position.
    """

    name: str
    title: str
    samples: tuple[tuple[Piece, ...], ...]
    words: tuple[str, ...]

    @property
    def layout(self) -> Layout:
        """The layout of the one row."""
        return lay_out([list(self.samples)])[0]


def _text(length: int, role: str = "context") -> Piece:
    return Piece(length, role=role)  # type: ignore[arg-type]


def _picture(
    length: int, role: str = "context", *, timed: bool = False, order: object = "full", visible: str = "all"
) -> Piece:
    return Piece(length, "image", role, order=order, visible=visible, timed=timed)  # type: ignore[arg-type]


PATCHES = ("▒", "▒", "▒", "▒")
CODES = ("c₁", "c₂", "c₃", "c₄")
MASKS = (
    Mask(
        "causal",
        "Causal: a text",
        ((_text(1), _text(4, "target"), _text(1)),),
        ("<bos>", "a", "red", "fox", "runs", "<eos>"),
    ),
    Mask(
        "name",
        "name: read a picture whole, then write",
        ((_text(2), _picture(4, timed=True), _text(1), _text(2, "target"), _text(1)),),
        ("<bos>", "<boi>", *PATCHES, "<eoi>", "red", "fox", "<eos>"),
    ),
    Mask(
        "draw",
        "draw: read a caption, draw a picture whole",
        ((_text(1), _text(2), _text(1), _picture(4, "target", timed=True), _text(2)),),
        ("<bos>", "red", "fox", "<boi>", *PATCHES, "<eoi>", "<eos>"),
    ),
    Mask(
        "raster",
        "draw, with codes in raster order",
        ((_text(1), _text(2), _text(1), _picture(4, "target", order="causal"), _text(2)),),
        ("<bos>", "red", "fox", "<boi>", *CODES, "<eoi>", "<eos>"),
    ),
    Mask(
        "scale",
        "Scales: 1 x 1, then 2 x 2",
        ((_text(1), _picture(5, "target", order=(0, 1, 1, 1, 1)), _text(1)),),
        ("<boi>", "s₁", "s₂", "s₂", "s₂", "s₂", "<eoi>"),
    ),
    Mask(
        "own",
        "A noised copy that only itself may see",
        ((_text(1), _picture(3, "target", timed=True, visible="own"), _picture(3), _text(2, "target")),),
        ("<boi>", "ε", "ε", "ε", "▒", "▒", "▒", "red", "fox"),
    ),
    Mask(
        "packed",
        "Two samples in one row",
        ((_text(1), _text(2, "target"), _text(1)), (_text(1), _picture(2), _text(1, "target"), _text(1))),
        ("<bos>", "red", "fox", "<eos>", "<bos>", "▒", "▒", "cat", "<eos>"),
    ),
)


def draw(mask: Mask) -> str:
    """Return the picture of a mask as SVG: a row may read the columns whose cells are filled."""
    layout = mask.layout
    seen = layout.mask()[0, 0].tolist()
    size = len(mask.words)
    assert size == layout.shape[1], mask.name
    left, top = 118, 92
    width, height = left + size * CELL + 18, top + size * CELL + 18
    width = max(width, 30 + 8 * len(mask.title))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">',
        f"<title>{escape(mask.title)}</title>",
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{CARD}" stroke="{LINE}"/>',
        _label(14, 22, mask.title, size=13, weight="bold", family="ui-sans-serif, system-ui, sans-serif"),
        _label(left - 10, top - 8, "order", anchor="end", colour=FAINT, size=11),
    ]
    orders, samples = layout.order[0].tolist(), layout.sample[0].tolist()
    modalities = [MODALITIES[number] for number in layout.modality[0].tolist()]
    timed = [number >= 0 for number in layout.timed[0].tolist()]
    for i, word in enumerate(mask.words):
        middle = top + i * CELL + CELL / 2 + 4
        colour = INK if not timed[i] else READ["image"]
        lines.append(_label(left - 46, middle, word, anchor="end", colour=colour))
        lines.append(_label(left - 16, middle, str(orders[i]), anchor="end", colour=FAINT))
        x, y = left + i * CELL + CELL / 2 + 4, top - 8
        lines.append(f'<g transform="rotate(-60 {x:g} {y:g})">{_label(x, y, word, colour=colour)}</g>')
        for j in range(size):
            palette = SECOND if samples[j] else READ
            fill = palette[modalities[j]] if seen[i][j] else "none"
            lines.append(
                f'<rect x="{left + j * CELL}" y="{top + i * CELL}" width="{CELL}" height="{CELL}" fill="{fill}" '
                f'stroke="{LINE}"/>'
            )
    return "\n".join((*lines, "</svg>", ""))


def _label(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = INK,
    size: int = 12,
    weight: str = "",
    family: str = "",
) -> str:
    style = (f' font-weight="{weight}"' if weight else "") + (f' font-family="{family}"' if family else "")
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}" font-size="{size}"{style}>{escape(text)}</text>'


def main(output_folder: Path = ASSETS) -> list[Path]:
    """Write every picture and return the files."""
    output_folder.mkdir(parents=True, exist_ok=True)
    files = []
    for mask in MASKS:
        path = output_folder / f"mask-{mask.name}.svg"
        path.write_text(draw(mask), encoding="utf-8")
        files.append(path)
    return files


if __name__ == "__main__":
    print("\n".join(map(str, main(Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS))))
