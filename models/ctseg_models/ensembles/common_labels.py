"""One set of label values for several bundles, whose labels are matched by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ctseg_imaging.errors import BundleError
from ctseg_imaging.volume import Label, Labels
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.run_warning import RunWarning, WarningKind


@dataclass(frozen=True)
class CommonLabels:
    """The labels of several bundles together.

    meanings : for each bundle, {its own value: the common one}, 0 included. warnings : about labels whose
    value is taken by another name, so it was changed.
    """

    labels: Labels
    meanings: tuple[Mapping[int, int], ...]
    warnings: tuple[RunWarning, ...]

    @classmethod
    def of(cls, bundles: Sequence[Bundle]) -> CommonLabels:
        """The first bundle with a label of a name decides its value and colour; the case of names is ignored.

        Raises BundleError without a bundle.
        """
        if not bundles:
            raise BundleError("An ensemble needs a bundle; name one or more.")
        entries: dict[int, Label] = {}
        by_name: dict[str, int] = {}
        meanings, warnings = [], []
        free = 1 + max(value for bundle in bundles for value in (0, *bundle.labels.values))
        for bundle in bundles:
            meaning = {0: 0}
            for label in bundle.labels:
                name, value = label.name.casefold(), label.value
                known = by_name.get(name)
                if known is not None and known not in meaning.values():
                    value = known
                elif value in entries:
                    text = (
                        f"{bundle.name} uses label {value} for {label.name} and another model for "
                        f"{entries[value].name}; here {label.name} is label {free}."
                    )
                    warnings.append(RunWarning(WarningKind.LABELS, text))
                    value, free = free, free + 1
                if value not in entries:
                    entries[value] = label if value == label.value else replace(label, value=value, colour="")
                    by_name.setdefault(name, value)
                meaning[label.value] = value
            meanings.append(meaning)
        return cls(Labels(tuple(entries.values())), tuple(meanings), tuple(warnings))

    def record(self, bundles: Sequence[Bundle]) -> list[dict[str, Any]]:
        """For the provenance: the bundles whose values were changed."""
        changed = [
            (bundle.name, {str(own): value for own, value in meaning.items() if own != value})
            for bundle, meaning in zip(bundles, self.meanings, strict=True)
        ]
        return [{"bundle": name, "values": values} for name, values in changed if values]
