"""Paper 3: augmentation that knows CT, the generic one, and none.

python -m benchmarks.experiments.ct_cues OUT
"""

from __future__ import annotations

from benchmarks.experiments.compare import Question, main
from benchmarks.experiments.trials import mandible

COMMON = ("validation.share=0", "budget={steps: 200}")
QUESTION = Question(
    "ct_cues",
    "Does paper 3's augmentation with cues of CT help?",
    "nnU-Net's U-Net (3D, 16 slices of 72 x 112) on the mandible in head-and-neck CT (40 cases trained on, "
    "10 held out); windows, statistics and loss of the paper in every arm, only the augmentation differs. "
    "Dice on the cases' own grid; the paper's point is the spread over cases.",
    "ct-cues-nnunet-3d-small",
    {
        "cues of CT": COMMON,
        "generic": (*COMMON, "augmentation={slab: {kind: generic}}"),
        "none": (*COMMON, "augmentation={}"),
    },
    mandible,
)

if __name__ == "__main__":
    main(QUESTION)
