"""One batch as the model sees it: which shape goes where, what is masked, what it costs.

Everything shown is read from what training itself uses (spans, layout, scored positions); nothing is told twice.
"""

from __future__ import annotations

from pathlib import Path

from mmgraph.datasets import Dataset
from mmgraph.inspection import costs, report
from mmgraph.inspection.views import look
from mmgraph.models.unified import UnifiedModel
from mmgraph.sequence import Sample

__all__ = ["draw_samples", "inspect"]

_SEARCHED = 10_000


def inspect(model: UnifiedModel, dataset: Dataset, *, out: Path | None = None, samples_per_task: int = 1) -> str:
    """Return a description of one training batch: what is read, masked, scored, and what it costs.

    Args:
        model: Built or not; tokenizers that are not fitted are fitted on the data set.
        dataset: Where the batch comes from.
        out: A PNG to write: the attention mask of one sample per task, with its spans and scored positions.
        samples_per_task: Samples shown in detail for each task.

    Returns:
        Text of at most 100 columns.
    """
    if not model.built:
        model.fit_tokenizers(dataset)
    batch = [dataset.training_sample(number) for number in range(dataset.batch_size)]
    views = [look(model, sample) for sample in draw_samples(dataset, samples_per_task)]
    text = report.render(model, dataset, batch, views, costs.measure(model, batch, [view.sample for view in views]))
    if out is not None:
        from mmgraph.inspection import picture

        first = {view.sample.task: view for view in reversed(views)}
        picture.save(out, [first[task] for task in dict.fromkeys(view.sample.task for view in views)], model, dataset)
        text += f"\n\nThe masks are drawn in {out}"
    return text


def draw_samples(dataset: Dataset, per_task: int) -> list[Sample]:
    """Return the first samples of each task in the training stream, in the order of the tasks."""
    found: dict[str, list[Sample]] = {task: [] for task, weight in dataset.tasks.items() if weight > 0}
    for number in range(_SEARCHED):
        if all(len(samples) >= per_task for samples in found.values()):
            break
        sample = dataset.training_sample(number)
        samples = found.setdefault(sample.task, [])
        if len(samples) < per_task:
            samples.append(sample)
    return [sample for samples in found.values() for sample in samples]
