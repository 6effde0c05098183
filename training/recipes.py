"""Recipes by name: functions that give settings and stages (training/settings.py). Options of training.train change single values.

Data is named by what it is: `plain` code and holes to fill in it, `wide` and `narrow` edits, `structural` ones (narrow, without the four
simple kinds that are half of all), edits between `releases`, `pictures`. A recipe's weights count for the names that a run gives; those
that it does not give drop out."""

from __future__ import annotations

from collections.abc import Callable

from training.settings import Objective, Recipe, Settings, Stage


def hybrid() -> Recipe:
    """One stage with the weights of the design documents: 0.3 JEPA and 0.7 next token, on whatever data is given."""
    return Recipe("hybrid", Settings(), (Stage("hybrid", 1.0),))


def documents() -> Recipe:
    """The four stages of the design documents with their shares, rates and AdamW, for `base`: JEPA, language, both, instructions.

    Of the documents' values two are not kept, as they are known not to work: 15% hidden text is too easy a task (35-40% in spans here),
    and mean squared error collapses (smooth L1 against normalised, averaged targets)."""
    settings = Settings(
        optimizer="adamw", other_rate=3e-4, weight_decay=0.1, clip=1.0, warmup_steps=200, decay_share=0.0,
        batch_tokens=16384, accumulate=64, max_tokens=4096, recompute=True,
    )  # fmt: skip
    everything = {"plain": 0.5, "wide": 0.125, "narrow": 0.0625, "releases": 0.0625, "pictures": 0.25}
    code = {"plain": 0.8, "wide": 0.1, "narrow": 0.05, "releases": 0.05}
    edits = {"plain": 0.05, "wide": 0.4, "narrow": 0.2, "releases": 0.15, "pictures": 0.2}
    hidden = {"trunk_gradient": 1.0, "mask": "spans", "mask_share": 0.375, "picture_share": 0.55}
    stages = (
        Stage("jepa", 0.4, Objective(0.0, 1.0, jepa_rows=1.0, **hidden), everything, 1.0, 0.1, cosine=True),
        Stage("language", 0.3, Objective(1.0, 0.0), code, 0.1, 1 / 30),
        Stage("joint", 0.2, Objective(0.7, 0.3, jepa_rows=1.0, **hidden), everything, 1 / 30, 1 / 60),
        Stage("instruction", 0.1, Objective(1.0, 0.0, pair_weight=0.1), edits, 1 / 60, 1 / 300),
    )
    return Recipe("documents", settings, stages)


def nano() -> Recipe:
    """`nano` on two CPU cores within hours: Muon at rates that keep the copying circuit which it starts from, narrow edits first, wide and
    real ones more and more. Plain code costs ten times the nats of an edit and is kept small."""
    settings = Settings(batch_tokens=2048, max_tokens=512, matrix_rate=0.012, other_rate=0.003, warmup_steps=30, decay_share=0.3)
    edits = {"wide": (0.1, 0.25), "narrow": (0.7, 0.27), "structural": (0.1, 0.25), "releases": (0.06, 0.19)}
    data = {"plain": 0.01, "pictures": 0.03} | edits
    return Recipe("nano", settings, (Stage("edits", 1.0, data=data),))


def nano_kinds() -> Recipe:
    """`nano` again, from the weights of the first run (`--start`): as many edits of rare kinds as of simple ones (`structural` made with
    `training.data edits --even`), and more wide and real ones."""
    settings = Settings(batch_tokens=2048, max_tokens=512, matrix_rate=0.012, other_rate=0.003, warmup_steps=30, decay_share=0.4)
    edits = {"wide": (0.11, 0.2), "narrow": (0.37, 0.3), "structural": (0.42, 0.34), "releases": (0.09, 0.15)}
    return Recipe("nano-kinds", settings, (Stage("edits", 1.0, data={"plain": 0.01} | edits),))


def half_hour() -> Recipe:
    """`nano` on one large GPU in half an hour: a quarter of a million tokens a step in bf16, compiled. Two thirds of the run read, the last
    third edits while the rate falls."""
    settings = Settings(
        batch_tokens=65536, accumulate=4, max_tokens=1024, matrix_rate=0.01, other_rate=3e-3, warmup_steps=40, decay_share=0.5,
        weight_decay=0.05, compile=True, log_steps=5, figure_steps=50, heldout_steps=100,
    )  # fmt: skip
    read = {"plain": (0.5, 0.3), "wide": (0.25, 0.3), "narrow": (0.1, 0.15), "releases": (0.05, 0.05), "pictures": (0.1, 0.2)}
    edit = {"plain": 0.1, "wide": 0.35, "narrow": 0.25, "releases": 0.1, "pictures": 0.2}
    return Recipe("half-hour", settings, (Stage("read", 0.65, data=read), Stage("edit", 0.35, Objective(pair_weight=0.05), edit)))


RECIPES: dict[str, Callable[[], Recipe]] = {
    "hybrid": hybrid, "documents": documents, "nano": nano, "nano-kinds": nano_kinds, "half-hour": half_hour,
}  # fmt: skip
