"""Paper 5: the SpatialConfiguration-Net against its local network alone.

python -m benchmarks.experiments.scn OUT
"""

from __future__ import annotations

from benchmarks.experiments.compare import Question, main
from benchmarks.experiments.trials import headneck

COMMON = (
    "validation.share=0",
    "budget={steps: 200}",
    "data.spacing_mm=[3, 4, 4]",
    "sampling={mode: patch, size: [48, 48, 48], margin_mm: 16, near_distance_mm: [40, 30, 30]}",
)
LOCAL = (
    *COMMON,
    "network={kind: unet, filters: 16, norm: instance}",
    "losses=[{kind: dice_cross_entropy, output: logits}]",
)
QUESTION = Question(
    "scn",
    "Does the spatial configuration of paper 5 help?",
    "Seven organs in head-and-neck CT (40 training cases, 10 held out), cropped to the true box plus a "
    "margin, so only the second stage is evaluated. The SCN has deep supervision of its parts; its local "
    "U-Net alone has a softmax head and the loss that it trains best with, so the arms differ in more "
    "than the spatial part. Dice is computed on each case's own grid; organs that were not contoured are "
    "left out.",
    "scn-segment-small",
    {"SCN": COMMON, "local network": LOCAL},
    headneck,
)

if __name__ == "__main__":
    main(QUESTION)
