"""report.html: one file that opens offline and says what a run learnt, beside what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from mmgraph.evaluation import curves, tables

_DIVISIONS = {
    "random": "Unseen pictures were held out one by one: training may have shown variants of them.",
    "grouped": "Unseen concepts were held out with all their variants: the model never met them in training.",
    "compositional": "Unseen pictures join what training showed only apart.",
}
"""What each protocol keeps from the model."""


def render(run: Path, metrics: Mapping[str, Any], shown: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        run: The run directory, for its configuration and log.
        metrics: What metrics.json holds.
        shown: What samples.json holds.
    """
    title = f"{metrics['recipe']}, seed {metrics['seed']}" if metrics["seed"] is not None else metrics["recipe"]
    body = "\n".join(
        part
        for part in (
            _head(metrics),
            _headline(metrics),
            _sheets(metrics, shown["drawings"]),
            _answers(shown["answers"]),
            _neighbourhoods(shown["neighbourhoods"]),
            _curves(run),
            _numbers(metrics),
            _made(run, metrics),
            _foot(metrics),
        )
        if part
    )
    style = resources.files("mmgraph.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>mmgraph: {escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def duration(seconds: float | None) -> str:
    """Return a time in the units that people use."""
    if seconds is None:
        return "not recorded"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(value: float | None) -> str:
    """Return a large number in short: 5.2 M."""
    if value is None:
        return "not recorded"
    for size, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if name == 'k' else size):.3g} {name}"
    return f"{value:,.0f}"


def _head(metrics: Mapping[str, Any]) -> str:
    data, training, machine = metrics["data"], metrics["training"], metrics["hardware"]
    pictures = ", ".join(f"{number:,} {split}" for split, number in data["pictures"].items())
    size = f", {data['size'][1]} × {data['size'][0]} px" if data["size"] else ""
    seeing = [f"{t['type']}, {t['tokens']} tokens" for t in metrics["tokenizers"] if t["modality"] != "text"]
    writing = [t["type"] for t in metrics["tokenizers"] if t["modality"] == "text"]
    speed = f", {training['samples_per_second']:,.0f} samples/s" if training["samples_per_second"] else ""
    steps = f"{training['steps']:,} steps, " if training["steps"] else ""
    threads = f"{machine['threads']} thread{'s' if machine['threads'] != 1 else ''}"
    device = "" if machine["device"] == "cpu" else f", {machine['device']}"
    facts = [
        ("Data", f"{data['dataset']}: {data['description']}" if data["description"] else data["dataset"]),
        ("Pictures", pictures + size),
        ("Division", f"{metrics['protocol']}; measured on {metrics['split']}"),
        ("Image tokenizer", "; ".join(seeing) or "none"),
        ("Text tokenizer", "; ".join(writing) or "none"),
        ("Parameters", count(training["parameters"])),
        ("Training", f"{steps}{duration(training['seconds'])}{speed}"),
        ("Machine", f"{machine['cpu']}, {threads}{device}"),
    ]
    rows = "".join(
        f"<div{' class=wide' if name == 'Data' else ''}><dt>{name}</dt><dd>{escape(text)}</dd></div>"
        for name, text in facts
    )
    seed = f", seed {metrics['seed']}" if metrics["seed"] is not None else ""
    version = escape(metrics["versions"]["mmgraph"])
    return (
        f'<header><p class="eyebrow">mmgraph {version}: report of one training</p>'
        f'<h1>{escape(metrics["recipe"])}<span class="faint">{seed}</span></h1>'
        f'<p class="lead">{escape(_lead(metrics))}</p><dl class="facts">{rows}</dl></header>'
    )


def _lead(metrics: Mapping[str, Any]) -> str:
    skills = []
    if metrics["generation"]:
        skills.append("draws pictures from captions")
    elif metrics["reconstruction"]:
        skills.append("turns pictures into tokens and back")
    kinds = set(metrics["understanding"]) | set(metrics["understanding_trained"])
    if "name" in kinds:
        skills.append("names pictures")
    if kinds - {"name"}:
        skills.append("answers questions about them")
    listed = " and ".join([", ".join(skills[:-1]), skills[-1]] if len(skills) > 1 else skills)
    return f"One model that {listed}. {_DIVISIONS[metrics['protocol']]}"


def _headline(metrics: Mapping[str, Any]) -> str:
    legend, cards, parts = metrics["legend"], "", []
    heading = "Drawing" if metrics["generation"] else "Reconstruction"
    for population, title in tables.POPULATIONS.items():
        for name, score in (metrics["generation"] or metrics["reconstruction"]).get(population, {}).items():
            if legend.get(name, {}).get("headline"):
                among = f" of {score['candidates']}" if score["candidates"] else ""
                cards += tables.card(f"{legend[name]['label']}{among}, {title.lower()}", score)
    captions = metrics.get("captioning", {})
    said = {name for scores in captions.values() for name in scores}
    if cards:
        told = (row for name, row in legend.items() if row["headline"] and name not in said)
        texts = " ".join(f"{row['label']}: {row['text']}" for row in told)
        parts.append(f'<h3>{heading}</h3><p class="faint small">{escape(texts)}</p>')
        parts.append(f'<div class="cards">{cards}</div>')
    cards = "".join(
        tables.card(f"{legend[name]['label']}, {title.lower()}", score)
        for population, title in tables.POPULATIONS.items()
        for name, score in captions.get(population, {}).items()
        if legend.get(name, {}).get("headline")
    )
    if cards:
        parts.append(f'<h3>Captions</h3><div class="cards">{cards}</div>')
    if metrics["understanding"]:
        parts.append(
            "<h3>Questions about unseen concepts</h3>"
            '<p class="faint small">Bar: accuracy, with its 95 % interval. Solid tick: always giving the '
            "most frequent answer of training. Dashed tick: guessing.</p>"
        )
        parts.append(tables.answered("", metrics["understanding"]))
    return _section("In short", parts)


def _sheets(metrics: Mapping[str, Any], drawings: Mapping[str, Any]) -> str:
    parts, made = [], tables.above(metrics)
    for population, title in tables.POPULATIONS.items():
        rows = drawings.get(population)
        if rows:
            scores = (metrics["generation"] or metrics["reconstruction"]).get(population, {}).values()
            whole = max((score["n"] for score in scores), default=len(rows))
            said = f"{len(rows)} of {whole}, in the fixed order of the evaluation"
            parts.append(f'<h3>{title} <span class="faint">{said}</span></h3>')
            parts.append(tables.sheet(rows, metrics["legend"], made))
    for name, rows in drawings.items():
        task, _, population = name.partition(".")
        if population:
            title = (
                f'{tables.POPULATIONS[population]} <span class="faint">task {escape(task)}: given, drawn, true</span>'
            )
            parts.append(f"<h3>{title}</h3>{tables.sheet(rows, metrics['legend'], made)}")
    if made == "drawn":
        return _section("What it drew", parts, "Above: drawn from the caption. Below: the true picture.")
    return _section("What came back", parts, "Above: after the tokenizer. Below: the true picture.")


def _answers(answers: Mapping[str, Any]) -> str:
    parts = []
    for population in ("unseen", "trained"):
        if answers.get(population):
            parts.append(f"<h3>{tables.POPULATIONS[population]}</h3>{tables.answers(answers[population])}")
    return _section("Names and answers", parts, "Each picture with what was asked and what the model said.")


def _neighbourhoods(drawn: Sequence[str]) -> str:
    """Return the pictures of neighbourhoods; they are SVG elements that the evaluation made."""
    said = (
        "Held-out nodes, the first of each task, with what the model may read of them. A green disc: without this "
        "neighbour the answer costs more. An orange one: it costs less."
    )
    return _section("Neighbourhoods", [f'<div class="curves">{svg}</div>' for svg in drawn], said)


def _curves(run: Path) -> str:
    drawn = curves.render(curves.read(run / "logs" / "metrics.csv"))
    return _section("Loss", [f'<div class="curves">{drawn}</div>'] if drawn else [])


def _numbers(metrics: Mapping[str, Any]) -> str:
    legend, parts, alone = metrics["legend"], [], ""
    if metrics["generation"]:
        parts.append(
            "<p class='small faint'>Nearest caption: the training picture whose caption shares most words. "
            "Mean picture: the average of all training pictures. Real pictures: the true ones themselves, or "
            "other real ones where the score compares whole sets. Tokenizer ceiling: the true picture after "
            "the image tokenizer alone.</p>"
        )
    for population, title in tables.POPULATIONS.items():
        if metrics["generation"].get(population):
            scores = metrics["generation"][population]
            parts.append(tables.scored(f"Drawing, {title.lower()}", scores, legend))
        if metrics["reconstruction"].get(population):
            alone += tables.scored(title, metrics["reconstruction"][population], legend)
    for task, populations in metrics.get("drawing", {}).items():
        for population, scores in populations.items():
            title = f"Drawing, task {task}, {tables.POPULATIONS[population].lower()}"
            parts.append(tables.scored(title, scores, legend))
    if alone:
        folded = f"<details><summary>The image tokenizer alone</summary>{alone}</details>"
        parts.append(folded if metrics["generation"] else alone)
    for population, title in tables.POPULATIONS.items():
        if metrics.get("captioning", {}).get(population):
            scores = metrics["captioning"][population]
            parts.append(tables.scored(f"Captions, {title.lower()}", scores, legend))
    if legend:
        parts.append(tables.meanings(legend))
    if metrics["understanding_trained"]:
        parts.append(tables.answered("Questions, trained concepts", metrics["understanding_trained"]))
    if metrics["notes"]:
        parts.append(f'<ul class="small">{"".join(f"<li>{escape(note)}</li>" for note in metrics["notes"])}</ul>')
    return _section("All numbers", parts)


def _made(run: Path, metrics: Mapping[str, Any]) -> str:
    training, machine, evaluation = metrics["training"], metrics["hardware"], metrics["evaluation"]
    memory = f"{machine['memory_gb']:g} GB" if machine["memory_gb"] else "not recorded"
    peak = f"{training['peak_memory_mb']:,.0f} MB" if training["peak_memory_mb"] else "not recorded"
    took = duration(training["seconds"])
    if training["cpu_seconds"] is not None:
        took += f", {duration(training['cpu_seconds'])} of processor time"
    rows = {
        "Training": took,
        "Peak memory of training": peak,
        "Parameters": f"{count(training['parameters'])}, {count(training['active_parameters'])} active",
        "Tokens a second": count(training["tokens_per_second"]),
        "Tokens a picture": str(training["visual_tokens"] or "none"),
        "Evaluation": f"{duration(evaluation['seconds'])}, seed {evaluation['seed']}",
        "Machine": f"{machine['cpu']}, {machine['cores']} cores ({machine['threads']} used), {memory}",
        "System": f"{machine['system']}, device {machine['device']}",
        "Versions": ", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
    }
    cells = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows.items())
    parts = [f'<dl class="legend">{cells}</dl>']
    commands = dict.fromkeys(text for text in (training.get("command"), metrics["command"]) if text)
    if commands:
        parts.append(f'<h3>Commands</h3><pre class="command">{escape(chr(10).join(commands))}</pre>')
    path = run / "config.yaml"
    if path.is_file():
        text = escape(path.read_text(encoding="utf-8"))
        parts.append(f"<details><summary>Configuration</summary><pre>{text}</pre></details>")
    return _section("How it was made", parts)


def _foot(metrics: Mapping[str, Any]) -> str:
    credit = f"<p>{escape(metrics['data']['credits'])}</p>" if metrics["data"]["credits"] else ""
    return (
        f"<footer>{credit}<p>Every number is in metrics.json beside this file. Intervals hold 95 % and "
        "resample concepts; they say nothing about other training seeds.</p></footer>"
    )


def _section(title: str, parts: Sequence[str], text: str = "") -> str:
    """Return a section, or nothing where it has no parts."""
    said = f"<p>{text}</p>" if text else ""
    return f"<section><h2>{title}</h2>{said}{''.join(parts)}</section>" if parts else ""
