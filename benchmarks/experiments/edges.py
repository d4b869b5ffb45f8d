"""Paper 2: a backbone with and without the edge stream.    python -m benchmarks.experiments.edges OUT"""

from __future__ import annotations

from benchmarks.experiments.compare import Question, main
from benchmarks.experiments.trials import hippocampus
from ctseg_training.recipes import load_recipe

COMMON = ("validation.share=0", "budget={steps: 150}")


def without_edges() -> tuple[str, ...]:
    """The same backbone by itself, with the semantic loss alone."""
    network = load_recipe("edge-gated-unet-small").network.model_dump()
    alone = {key: value for key, value in network.items() if key != "shared_edge"} | {"kind": "backbone"}
    return *COMMON, f"network={alone}", "losses=[{kind: squared_dice, smooth: 1.0e-5}]"


QUESTION = Question(
    "edges",
    "Does the edge stream of paper 2 help?",
    "A 3D U-Net backbone on the hippocampus (208 training cases, 52 held out), with the edge-gated stream "
    "and its losses, compared with the same backbone trained with the Dice loss alone. Dice is computed "
    "on each case's own grid.",
    "edge-gated-unet-small",
    {"edge-gated": COMMON, "backbone alone": without_edges()},
    hippocampus,
)

if __name__ == "__main__":
    main(QUESTION)
