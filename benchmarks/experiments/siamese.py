"""Paper 4: the content loss against losses of overlap.    python -m benchmarks.experiments.siamese OUT"""

from __future__ import annotations

from benchmarks.experiments.compare import Question, main
from benchmarks.experiments.trials import lesions, vgg_file

COMMON = ("validation.share=0", "budget={steps: 150}")


def with_loss(kind: str) -> tuple[str, ...]:
    """The same network with another loss, and softened labels as in the paper where that loss takes them."""
    return *COMMON, "content=null", f"losses=[{{kind: {kind}, softness: 0.1}}]"


QUESTION = Question(
    "siamese",
    "Does the Siamese content loss of paper 4 help?",
    "Dense U-Net on slices of MR phantoms with white-matter lesions (20 training cases, 5 held out); the "
    "labels are softened to 0.1 and 0.9 in every arm. Dice is computed on each case's own grid.",
    "siamese-denseunet-small",
    {
        "content": (*COMMON, f"content.features={vgg_file()}"),
        "Dice": with_loss("squared_dice"),
        "Tversky": with_loss("tversky"),
        "generalised Dice": with_loss("generalised_dice"),
    },
    lesions,
)

if __name__ == "__main__":
    main(QUESTION)
