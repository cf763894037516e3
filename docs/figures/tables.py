"""Tables of what has been measured, from docs/results into the pages: `python docs/figures/tables.py`.

A page says `<!-- table: NAME -->` and `<!-- end of table -->`; what stands between is replaced. `study NAME` is the
study of docs/studies/NAME.yaml. Cells that nobody has run say so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

DOCS = Path(__file__).resolve().parents[1]
RESULTS = DOCS / "results"
NOT_RUN = "not run"
COURSE = (
    ("01", "toy world, four kinds of data, an exact oracle", "V, Table III"),
    ("02", "a text model, one token after another", "II-A1"),
    ("03", "CLIP in miniature", "II-A2"),
    ("04", "picture tokenizers: AE, VAE, VQ-VAE, VQGAN", "II-A3, III-A2"),
    ("05", "alignment and its connectors", "II-B, II-C1"),
    ("06", "early fusion", "II-C2"),
    ("07", "fine detail and hallucination", "II-C3"),
    ("08", "understanding video", "II-D"),
    ("09", "understanding speech", "II-E"),
    ("10", "four generative principles: GAN, VAE, DDPM, flow", "III-A1 to A3, A5"),
    ("11", "latent diffusion", "III-A4"),
    ("12", "conditions and guidance", "III-B"),
    ("13", "U-Net, DiT, MM-DiT", "III-B"),
    ("14", "text to video", "III-C"),
    ("15", "text to speech", "III-D"),
    ("16", "one autoregressive model for text and pictures", "IV-A1"),
    ("17", "beyond raster order", "IV-A1"),
    ("18", "a language model that calls a generator", "IV-A2"),
    ("19", "learnable connectors to a generator", "IV-A2"),
    ("20", "one transformer, two losses", "IV-A2"),
    ("21", "discrete diffusion in the same body", "IV-A2"),
    ("22", "head to head, and what the survey leaves out", "IV-A"),
    ("23", "input processors", "IV-B1"),
    ("24", "dense or experts", "IV-B2"),
    ("25", "stages of training", "II-D1, V"),
    ("26", "one benchmark for both sides", "VI-B"),
    ("27", "unified video", "VI-A"),
    ("28", "graphs: understanding and generating structure", "VI-C1"),
    ("29", "graphs: structure helps content", "VI-C2"),
    ("30", "lightweight: few steps, small denoisers", "VI-D1"),
    ("31", "lightweight: understanding and unified", "VI-D2, D3"),
    ("32", "a world that changes", "VI-E"),
    ("33", "build your own", "all"),
)
"""Number and subject of every tutorial that is planned, and the sections of the survey that it covers."""
Row = dict[str, Any]


def read(name: str) -> list[Row]:
    """Return the rows of a JSON-lines file; none if there is no such file."""
    path = RESULTS / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, rest: str = "---:") -> str:
    """Return a Markdown table, its first column flush left and the others right, unless `rest` says otherwise."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + [rest] * (len(head) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def span(values: Sequence[float], digits: int = 1) -> str:
    """Return the mean, and the smallest and largest value where they differ."""
    if not values:
        return NOT_RUN
    texts = [f"{value:.{digits}f}" for value in (mean(values), min(values), max(values))]
    return texts[0] if texts[1] == texts[2] else f"{texts[0]} ({texts[1]} to {texts[2]})"


def reconstruction() -> str:
    """What each picture tokenizer keeps of held-out pictures."""
    rows = read("tokenizers.jsonl")
    data = ("shapes, 24 px", "emoji, 24 px", "emoji, 32 px")
    table = []
    for name in dict.fromkeys(row["tokenizer"] for row in rows):
        own = [row for row in rows if row["tokenizer"] == name]
        at = {what: [row for row in own if row["data"] == what] for what in data}
        sizes = dict.fromkeys(f"{row['tokens']} x {row['numbers_per_token']}" for row in own)
        errors = (span([row["rmse_of_255"] for row in at[what]]) for what in data)
        cost = [row["fit_cpu_seconds"] for row in own]
        fitted = "trained before" if "zoo:" in name else span(cost, 2) if any(cost) else "none"
        table.append((name, ", ".join(sizes), *errors, fitted))
    return markdown(("tokenizer", "tokens x numbers", *data, "fit, CPU-s"), table)


def codebooks() -> str:
    """What the size of a codebook buys on shapes."""
    rows = read("codebooks.jsonl")
    table = []
    for size in sorted({row["codes"] for row in rows}):
        own = [row for row in rows if row["codes"] == size]
        kept = (span([row["oracle"][name] for row in own], 2) for name in ("place", "colour", "shape", "all"))
        table.append(
            (
                str(size),
                str(len(own)),
                f"{own[0]['bits']:.0f}",
                span([row["perplexity"] for row in own], 0),
                span([row["codebook_use"] for row in own], 2),
                span([row["rmse_of_255"] for row in own]),
                *kept,
            )
        )
    sizes = ("codes K", "worlds", "bits a picture", "perplexity", "codes used", "RMSE of 255")
    head = (*sizes, "place", "colour", "shape", "all")
    return markdown(head, table)


def equal_seconds() -> str:
    """One recipe with several tokenizers at equal CPU seconds."""
    rows = read("equal-seconds.jsonl")
    table = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        trained = [row["recall_at_10_trained"] for row in own]
        table.append(
            (
                arm,
                str(own[0]["visual_tokens"]),
                span([row["cpu_seconds"] for row in own], 0),
                span([row["steps"] for row in own], 0),
                ", ".join(f"{value:.2f}" for value in trained),
                f"{mean(trained):.2f}",
                f"{10 / own[0]['candidates']:.2f}",
            )
        )
    return markdown(("tokenizer", "tokens", "CPU-s", "steps", "R@10 trained, each seed", "mean", "chance"), table)


def heads() -> str:
    """What the recipe with both heads reaches, from its committed runs."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("transfusion-*.json"))]

    def drawn(run: Row, population: str) -> str:
        score = run["generation"][population]["recall_at_10"]
        low, high = score["ci95"]
        return f"{score['value']:.2f} ({low:.2f} to {high:.2f})"

    def said(run: Row, kind: str) -> str:
        return f"{run['understanding'][kind]['accuracy']:.2f} ({run['understanding'][kind]['majority']:.2f})"

    table = [
        (
            f"`next_token` + `flow`, seed {run['seed']}",
            drawn(run, "trained"),
            drawn(run, "unseen"),
            *(said(run, kind) for kind in ("group", "subgroup", "colour")),
            f"{run['training']['cpu_seconds']:.0f}",
        )
        for run in runs
    ]
    head = ("text + pictures", "R@10 trained", "R@10 unseen", "group", "subgroup", "colour", "CPU-s")
    return markdown(head, table)


def speed() -> str:
    """The last measured ratio of each kind of step and of decoding."""
    last = {row["name"]: row for row in read("speed.jsonl")}
    table = []
    for name, row in last.items():
        ratio = row["ratio"]
        table.append((name, f"{ratio['median']:.2f}", f"{ratio['low']:.2f} to {ratio['high']:.2f}", row["goal"]))
    return markdown(("what", "median ratio", "min to max", "goal"), table)


def connectors() -> str:
    """What a training step costs with each connector, as a share of the same step with every token kept."""
    rows = {(row["encoder_tokens"], row["visual_tokens"], row["connector"]): row for row in read("connectors.jsonl")}
    sizes = ((64, 4), (64, 16), (256, 4), (256, 16), (256, 64))
    table = []
    for name in ("mlp", "average_pool", "locality", "token_packer", "resampler", "q_former"):
        keeps = name == "mlp"
        cells = [rows.get((encoder, encoder if keeps else kept, name)) for encoder, kept in sizes]
        shown = [NOT_RUN if cell is None else f"{cell['ratio']['median']:.2f} ({_ends(cell)})" for cell in cells]
        if keeps:  # it keeps all tokens, so its cost stands once for each number of them
            shown = [shown[0] if place == 0 else shown[2] if place == 2 else "" for place in range(len(sizes))]
        known = next((row for row in reversed(rows.values()) if row["connector"] == name), None)
        more = known and known["parameters"] - known["parameters_with_linear"]
        table.append((f"`{name}`" + (", all kept" if keeps else ""), *shown, NOT_RUN if more is None else f"{more:+,}"))
    head = ("connector", *(f"{encoder} to {kept}" for encoder, kept in sizes), "parameters beyond `linear`, 256 to 64")
    return markdown(head, table)


def _ends(row: Row) -> str:
    return f"{row['ratio']['low']:.2f} to {row['ratio']['high']:.2f}"


def study(name: str) -> str:
    """Each arm of a study in each measure, its answer, and the way to its page."""
    path = DOCS / "studies" / f"{name}.yaml"
    if not path.is_file():
        return f"Study `{name}`: {NOT_RUN}."
    from mmgraph.docs.recipe_tables import words
    from mmgraph.evaluation import studies
    from mmgraph.evaluation.studies import rows
    from mmgraph.evaluation.tables import number

    plan = studies.read(path)
    found = studies.analyse(plan, rows.read(plan.results) if plan.results else [])
    table = []
    for levels in plan.combinations():
        for arm in plan.arms:
            cells = [arm.title, *(level for _, level in levels)]
            done = [row for row in found.rows if (row["arm"], row["factors"]) == (arm.name, dict(levels))]
            done = [row for row in done if row["status"] == "done"]
            own = [one for one in found.summaries if (one.arm, one.levels) == (arm.name, levels)]
            for one in own:
                ends = one.interval if len(one.values) > 2 else None
                shown = f" [{number(ends[0])}, {number(ends[1])}]" if ends else ""
                missing = "–" if done else NOT_RUN  # an arm without codes has no perplexity
                cells.append(missing if one.mean is None else number(one.mean) + shown)
            for figure, unit in (("parameters", 1e6), ("visual_tokens", 1), ("steps", 1), ("cpu_seconds", 1)):
                known = [row["training"][figure] / unit for row in done if row["training"].get(figure) is not None]
                shown = f"{mean(known):.2f} M" if unit > 1 and known else f"{mean(known):.0f}" if known else "–"
                cells.append(shown if done else NOT_RUN)
            table.append((*cells, str(len(done)) if done else NOT_RUN))
    factors = (factor.name for factor in plan.factors)
    head = ("arm", *factors, *map(words, found.measures), "parameters", "visual tokens", "steps", "CPU-s", "seeds")
    answer = studies.answer(found)
    link = f"[The study's page](../generated/studies/{name}.md) has every difference and its interval."
    return f"{markdown(head, table)}\n\n{answer} {link}"


def graph_sampling() -> str:
    """What a batch of neighbourhoods costs as the graph grows."""
    rows = read("graph-sampling.jsonl")
    table = [
        (
            row["sampler"],
            f"{row['nodes']:,}",
            f"{row['on_disk_mb']:,.0f}",
            f"{row['sampling_ms']:.1f}",
            f"{row['collating_ms']:.1f}",
            f"{row['batches_per_cpu_second']:.0f}",
            f"{row['own_mb_grew']:.1f}",
            f"{row['mapped_mb_grew']:.1f}",
        )
        for row in sorted(rows, key=lambda row: (row["sampler"], row["nodes"]))
    ]
    head = ("sampler", "nodes", "on disk, MB", "sampling, ms", "collating, ms", "batches/CPU-s", "own MB", "mapped MB")
    return markdown(head, table)


def synthetic_graph() -> str:
    """How near tiny networks come to the exact posterior, by world and arm."""
    rows = read("synthetic-graph.jsonl")
    arms = ("majority", "none", "mlp", "sage, rewired", "rgcn, rewired", "sage", "rgcn", "Bayes", "Bayes with labels")
    table = []
    for world in dict.fromkeys(row["world"] for row in rows):
        own = [row for row in rows if row["world"] == world]
        cells = (span([100 * row["accuracy"] for row in own if row["arm"] == arm], 0) for arm in arms)
        table.append((world, *cells))
    return markdown(("world", *arms), table)


def tutorials() -> str:
    """What the course covers, with a link where the tutorial is written."""
    written = {path.stem[:2]: path.stem for path in sorted((DOCS.parent / "tutorials").glob("[0-9][0-9]_*.py"))}
    table = [
        (number, subject, sections, f"[read it]({written[number]}.md)" if number in written else "not yet")
        for number, subject, sections in COURSE
    ]
    return markdown(("number", "subject", "survey", "page"), table, rest="---")


TABLES: dict[str, Callable[[], str]] = {
    "reconstruction": reconstruction,
    "codebooks": codebooks,
    "equal-seconds": equal_seconds,
    "heads": heads,
    "speed": speed,
    "connectors": connectors,
    "graph-sampling": graph_sampling,
    "synthetic-graph": synthetic_graph,
    "tutorials": tutorials,
}
_PLACE = re.compile(r"(<!-- table: ([\w -]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def fill(text: str) -> str:
    """Return a page with its tables written anew."""

    def table(name: str) -> str:
        return study(name.removeprefix("study ")) if name.startswith("study ") else TABLES[name]()

    return _PLACE.sub(lambda found: f"{found[1]}\n{table(found[2])}\n\n{found[3]}", text)


def main(output_folder: Path = DOCS) -> list[Path]:
    """Write the tables of every page under a folder and return the pages that have one."""
    folders = (output_folder, output_folder / "choose", output_folder / "tutorials", output_folder / "concepts")
    every = sorted(path for folder in folders for path in folder.glob("*.md"))
    pages = [path for path in every if _PLACE.search(path.read_text(encoding="utf-8"))]
    for path in pages:
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
    return pages


if __name__ == "__main__":
    print("\n".join(map(str, main())))
