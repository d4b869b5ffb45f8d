"""Paper 1: area and contour length held by ADMM, or not.    python -m benchmarks.experiments.geometric OUT"""

from __future__ import annotations

from benchmarks.experiments.compare import Question, main
from benchmarks.experiments.trials import hippocampus

COMMON = ("validation.share=0", "budget={steps: 250}")
QUESTION = Question(
    "geometric",
    "Do the geometric constraints of paper 1 help?",
    "sU-Net on slices of the hippocampus (208 training cases, 52 held out) with the squared Dice loss and "
    "the same fixed samples, with and without the ADMM term. Dice is computed on each case's own grid.",
    "geometric-sunet-small",
    {"constraints": COMMON, "no constraints": (*COMMON, "geometric=null")},
    hippocampus,
)

if __name__ == "__main__":
    main(QUESTION)
