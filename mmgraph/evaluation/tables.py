"""Pieces of the report: numbers, rulers, tables, contact sheets and answers, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from mmgraph.evaluation.showing import readable

POPULATIONS = {"trained": "Trained concepts", "unseen": "Unseen concepts"}
BASELINES = {
    "given_picture": "Given picture, unchanged",
    "nearest_caption": "Nearest caption",
    "mean_picture": "Mean picture",
    "real": "Real pictures",
    "reconstruction": "Tokenizer ceiling",
    "frequent_caption": "Most frequent caption",
    "nearest_picture": "Nearest picture's caption",
}
BETTER = {"higher": "higher is better", "lower": "lower is better", "one": "best near 1"}


def number(value: float | None) -> str:
    """Return a number as tables show it; a dash where there is none."""
    if value is None:
        return "–"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 3 if 0 < size < 0.1 else 2
    text = f"{value:,.{digits}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) != 0 else text.lstrip("-")


def interval(ends: Sequence[float] | None) -> str:
    """Return an interval, or nothing."""
    return f"{number(ends[0])} to {number(ends[1])}" if ends else ""


def words(name: str) -> str:
    """Return an identifier as words."""
    return name.replace("_", " ")


def ruler(value: float, ends: Sequence[float] | None, chance: float | None, majority: float | None = None) -> str:
    """Return a bar from 0 to 1 with the value, its interval, and ticks for chance and majority."""
    said = [f"{number(value)} on a scale from 0 to 1"]
    parts = ['<rect class="track" x="0" y="6" width="100%" height="6" rx="3"/>']
    parts.append(f'<rect class="value" x="0" y="6" width="{_share(value)}" height="6" rx="3"/>')
    if ends:
        width = f"{100 * (min(ends[1], 1) - max(ends[0], 0)):.2f}%"
        parts.append(f'<rect class="band" x="{_share(ends[0])}" y="2" width="{width}" height="14" rx="2"/>')
        said.append(f"95 % interval {interval(ends)}")
    for name, style, place in (("chance", "chance", chance), ("majority", "tick", majority)):
        if place is not None:
            parts.append(f'<line class="{style}" x1="{_share(place)}" x2="{_share(place)}" y1="1" y2="17"/>')
            said.append(f"{name} {number(place)}")
    return f'<svg class="ruler" role="img" aria-label="{escape("; ".join(said))}">{"".join(parts)}</svg>'


def card(label: str, score: Mapping[str, Any]) -> str:
    """Return a headline number with its ruler and what it must be compared with."""
    compared = [("Chance", score["chance"])] if score["chance"] is not None else []
    compared += [(BASELINES.get(name, words(name)), value) for name, value in score["baselines"].items()]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{number(value)}</dd>" for name, value in compared)
    ends = f"<small>95 %: {interval(score['ci95'])}</small>" if score["ci95"] else ""
    bar = ruler(score["value"], score["ci95"], score["chance"]) if 0 <= score["value"] <= 1 else ""
    return (
        f'<div class="card"><h3>{escape(label)}</h3><div class="big">{number(score["value"])}{ends}</div>'
        f'{bar}<dl class="compare">{rows}</dl></div>'
    )


def answered(title: str, kinds: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of accuracy by kind of question."""
    rows = "".join(
        f'<tr><th scope="row">{escape(words(kind))}</th>'
        f'<td class="bar">{ruler(row["accuracy"], row["ci95"], row["chance"], row["majority"])}</td>'
        f'<td class="main">{number(row["accuracy"])}</td><td>{interval(row["ci95"])}</td>'
        f"<td>{number(row['majority'])}</td><td>{number(row['chance'])}</td><td>{row['n']:,}</td></tr>"
        for kind, row in kinds.items()
    )
    return _table(title, ("Question", "", "Accuracy", "95 % interval", "Majority", "Chance", "n"), rows)


def scored(title: str, scores: Mapping[str, Mapping[str, Any]], legend: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of scores beside their baselines."""
    names = [name for name in BASELINES if any(name in score["baselines"] for score in scores.values())]
    rows = ""
    for key, score in scores.items():
        meaning = legend.get(key, {"label": words(key), "better": ""})
        ends = f'<span class="interval">{interval(score["ci95"])}</span>' if score["ci95"] else ""
        better = BETTER.get(meaning["better"], "")
        rows += (
            f'<tr><th scope="row">{escape(meaning["label"])} <span class="faint small">{better}</span></th>'
            f'<td class="main">{number(score["value"])}{ends}</td><td>{number(score["chance"])}</td>'
            + "".join(f"<td>{number(score['baselines'].get(name))}</td>" for name in names)
            + f"<td>{number(score['candidates'])}</td><td>{score['n']:,}</td></tr>"
        )
    heads = (
        "Score",
        "Value, 95 % interval",
        "Chance",
        *(BASELINES[name] for name in names),
        "Candidates",
        "n",
    )
    return _table(title, heads, rows)


def above(metrics: Mapping[str, Any]) -> str:
    """Return how the pictures that stand above the true ones were made: drawn, or, by an autoencoder, reconstructed."""
    return "drawn" if metrics["generation"] or not metrics["reconstruction"] else "reconstructed"


def sheet(
    rows: Iterable[Mapping[str, Any]], legend: Mapping[str, Mapping[str, Any]], made: str = "drawn"
) -> str:
    """Return the contact sheet: each drawing above its true picture, with the caption and what it reached."""
    headline = [name for name, meaning in legend.items() if meaning["headline"]]
    items = ""
    for row in rows:
        caption = escape(readable(row["caption"]))
        items += (
            f"<li><figure>{_given(row)}"
            f'<img class="drawn" src="{row["drawn"]}" alt="{made.capitalize()}: {caption}">'
            f'<img class="true" src="{row["true"]}" alt="True picture: {caption}">'
            f"<figcaption>{caption}{_reached(row['scores'], headline, legend)}</figcaption></figure></li>"
        )
    return f'<ul class="sheet">{items}</ul>'


def _given(row: Mapping[str, Any]) -> str:
    return f'<img class="given" src="{row["given"]}" alt="Given picture">' if row.get("given") else ""


def answers(pictures: Iterable[Mapping[str, Any]]) -> str:
    """Return each picture with what was asked, said and right; colour and symbol tell right from wrong."""
    articles = ""
    for picture in pictures:
        rows = ""
        for item in picture["answers"]:
            question = readable(item["question"] or "what is this?")
            asked = escape(question[:1].upper() + question[1:])
            mark, style, spoken = ("✓", "right", "right") if item["correct"] else ("✗", "wrong", "wrong")
            said = escape(item["given"]) or "(nothing)"
            was = "" if item["correct"] else f' <span class="was">is: {escape(item["answer"])}</span>'
            rows += (
                f'<tr><td class="asked">{asked}</td><td><span class="said {style}">'
                f'<span role="img" aria-label="{spoken}">{mark}</span> {said}</span>{was}</td></tr>'
            )
        articles += (
            f'<article><img src="{picture["picture"]}" alt="Picture of {escape(picture["concept"])}">'
            f"<table><thead><tr><th>Asked</th><th>Said</th></tr></thead><tbody>{rows}</tbody></table></article>"
        )
    return f'<div class="answers">{articles}</div>'


def meanings(legend: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what each score says."""
    rows = "".join(f"<dt>{escape(row['label'])}</dt><dd>{escape(row['text'])}</dd>" for row in legend.values())
    return f'<dl class="legend">{rows}</dl>'


def _reached(scores: Mapping[str, float], headline: Sequence[str], legend: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the first headline score that a picture reached, if such scores are yes or no."""
    known = [name for name in headline if scores.get(name) in (0.0, 1.0)]
    if not known:
        return ""
    for name in known:
        if scores[name] == 1.0:
            return f'<br><span class="mark right">✓ {escape(legend[name]["label"])}</span>'
    return f'<br><span class="mark miss">✗ {escape(legend[known[-1]]["label"])}</span>'


def _table(title: str, heads: Sequence[str], rows: str) -> str:
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    table = f"<table>{caption}<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _share(value: float) -> str:
    return f"{100 * min(max(value, 0), 1):.2f}%"
