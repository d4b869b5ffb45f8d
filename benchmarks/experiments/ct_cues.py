"""Paper 3: CT-specific augmentation, generic augmentation, and none.

python -m benchmarks.experiments.ct_cues OUT
"""

from __future__ import annotations

from benchmarks.experiments.compare import Question, main
from benchmarks.experiments.trials import mandible

COMMON = ("validation.share=0", "budget={steps: 200}")
QUESTION = Question(
    "ct_cues",
    "Does paper 3's CT-specific augmentation help?",
    "nnU-Net's U-Net (3D, 16 slices of 72 x 112) on the mandible in head-and-neck CT (40 training cases, "
    "10 held out). Every arm uses the windows, statistics and loss of the paper; only the augmentation "
    "differs. Dice is computed on each case's own grid. The paper claims a smaller spread over cases.",
    "ct-cues-nnunet-3d-small",
    {
        "CT cues": COMMON,
        "generic": (*COMMON, "augmentation={slab: {kind: generic}}"),
        "none": (*COMMON, "augmentation={}"),
    },
    mandible,
)

if __name__ == "__main__":
    main(QUESTION)
