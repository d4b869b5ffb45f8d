"""From a prediction's provenance to the dock's table of confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg.docks.run_model.state import Confidence

if TYPE_CHECKING:
    from ctseg_models.contract.prediction import Prediction


def confidence_of(prediction: Prediction) -> tuple[Confidence, ...]:
    """One row for each label that was found, by value; () where the run measured none."""
    entropy = prediction.provenance.get("settings", {}).get("disagreement") == "entropy"
    return tuple(
        Confidence(
            row["name"],
            row["volume_ml"],
            row["mean_probability"],
            row["share_above_0.9"],
            row.get("mean_disagreement"),
            entropy,
        )
        for row in prediction.provenance.get("confidence", ())
    )
