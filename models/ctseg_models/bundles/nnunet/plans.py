"""nnU-Net v2's `plans.json` (from before and after 2.4) and `dataset.json`, as far as running needs them.

Triples run along the plans' own axes: the stored axes (z, y, x) of the image, in the order
`transpose_forward`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.nnunet.documents import RESAMPLING, Configuration, Dataset, Plans
from ctseg_models.bundles.nnunet.plan import Heads, NNUNetPlan, Normalisation, Resampling
from ctseg_models.vetting.faults import first_fault

M = TypeVar("M", bound=BaseModel)
PLANS, DATASET = "plans.json", "dataset.json"
LARGEST = 64 * 2**20  # bytes; a dataset.json of thousands of cases has a few MB
NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet")
READERS = {
    "SimpleITKIO": False,
    "NibabelIO": False,
    "SimpleITKIOWithReorient": True,
    "NibabelIOWithReorient": True,
}  # whether the image is turned to RAS first
SCHEMES = (
    "CTNormalization",
    "ZScoreNormalization",
    "NoNormalization",
    "RescaleTo01Normalization",
    "RGBTo01Normalization",
)
MOST_HEADS = 4096


@dataclass(frozen=True)
class Documents:
    """Both files of a results folder."""

    folder: Path
    plans: Plans
    dataset: Dataset

    @classmethod
    def read(cls, folder: Path) -> Documents:
        """Both files. Raises BundleError when one is missing or nnU-Net v2 did not write it."""
        if not (folder / PLANS).is_file() and (
            (folder / "plans.pkl").is_file() or any(folder.glob("fold_*/*.model.pkl"))
        ):
            raise BundleError(
                f"{folder}: is a model of nnU-Net version 1, which this program does not run; train it again "
                "with version 2."
            )
        return cls(folder, _document(folder / PLANS, Plans), _document(folder / DATASET, Dataset))

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the image channels, in order."""
        return tuple(
            self.dataset.channels[key]
            for key in sorted(self.dataset.channels, key=lambda key: (len(key), key))
        )

    def plan(self, configuration: str) -> NNUNetPlan:
        """A configuration. Raises BundleError when it does not exist, or for the first thing that cannot be
        run.
        """
        path = self.folder / PLANS
        entry = _checked(
            Configuration, self._inherited(configuration, ()), path, f"configurations.{configuration}"
        )
        self._refuse_unknown(entry)
        network, architecture = _architecture(entry, self._inherited(configuration, ()), path)
        stated = self.plans.intensities
        normalisations = tuple(
            Normalisation(scheme, masked and scheme == "ZScoreNormalization", stated.get(str(number)))
            for number, (scheme, masked) in enumerate(
                zip(entry.normalization_schemes, entry.use_mask_for_norm, strict=True)
            )
        )
        for number, each in enumerate(normalisations):
            if each.scheme == "CTNormalization" and each.intensities is None:
                raise BundleError(
                    f"{path}: has no intensities of channel {number}, which CTNormalization needs; get the "
                    "model again."
                )
        return NNUNetPlan(
            configuration,
            tuple(entry.patch_size),
            tuple(entry.spacing),
            self.plans.transpose_forward,
            READERS[self.plans.image_reader_writer],
            normalisations,
            _resampling(entry.resampling_fn_data, entry.resampling_fn_data_kwargs, path),
            _resampling(entry.resampling_fn_seg, entry.resampling_fn_seg_kwargs, path),
            _resampling(
                entry.resampling_fn_probabilities, entry.resampling_fn_probabilities_kwargs, path, (1,)
            ),
            network,
            architecture,
            self.heads(),
            entry.previous_stage,
            path,
        )

    def heads(self) -> Heads:
        """What the network's maps mean. Raises BundleError for labels that nnU-Net does not allow."""
        path = self.folder / DATASET
        named = {
            name: [value] if isinstance(value, int) else list(value)
            for name, value in self.dataset.labels.items()
            if name != "ignore"
        }
        if any(not values or min(values) < 0 for values in named.values()):
            raise BundleError(f"{path}: a label has no value, or one below 0; fix its labels.")
        single = {values[0]: name for name, values in named.items() if len(values) == 1}
        present = sorted({value for values in named.values() for value in values})
        if not any(len(values) > 1 for values in named.values()):
            if present != list(range(len(named))) or len(named) > MOST_HEADS:
                raise BundleError(
                    f"{path}: its labels have to be 0, 1, 2 and so on without a gap; fix its labels."
                )
            return Heads(
                "softmax logits",
                tuple(present),
                {v: single[v] for v in present if v},
                tuple(v for v in present if v),
            )
        regions = [name for name, values in named.items() if set(values) != {0}]
        order = self.dataset.regions_class_order
        if order is None or len(order) != len(regions) or any(value < 1 for value in order):
            raise BundleError(
                f"{path}: regions_class_order has to give one label above 0 for each of the {len(regions)} "
                "regions; fix it."
            )
        names = dict(zip(order, regions, strict=True))
        return Heads(
            "regions", tuple(order), dict(sorted(names.items())), tuple(value for value in present if value)
        )

    def _inherited(self, name: str, heirs: tuple[str, ...]) -> dict[str, Any]:
        """A configuration with its parents' entries below its own."""
        if name not in self.plans.configurations:
            known = ", ".join(self.plans.configurations)
            raise BundleError(
                f'{self.folder / PLANS}: has no configuration "{name}" (it has {known}); get the model again.'
            )
        if name in heirs:
            raise BundleError(
                f'{self.folder / PLANS}: the configuration "{name}" inherits from itself; get the model '
                "again."
            )
        own = self.plans.configurations[name]
        parent = own.get("inherits_from")
        return own if parent is None else {**self._inherited(str(parent), (*heirs, name)), **own}

    def _refuse_unknown(self, entry: Configuration) -> None:
        """Raise BundleError for an unsupported step."""
        path, plans = self.folder / PLANS, self.plans
        known = {
            "image_reader_writer": (plans.image_reader_writer, tuple(READERS)),
            "label_manager": (plans.label_manager, ("LabelManager",)),
            "preprocessor_name": (entry.preprocessor_name, ("DefaultPreprocessor",)),
            **{
                f"normalization_schemes {number}": (scheme, SCHEMES)
                for number, scheme in enumerate(entry.normalization_schemes)
            },
        }
        for what, (name, allowed) in known.items():
            if name not in allowed:
                raise BundleError(
                    f'{path}: {what} is "{name}", which this program does not know ({", ".join(allowed)}); '
                    "run this model with nnU-Net itself."
                )
        if sorted(plans.transpose_forward) != [0, 1, 2]:
            raise BundleError(f"{path}: transpose_forward does not name three axes; get the model again.")
        if len(entry.patch_size) != len(entry.spacing):
            raise BundleError(f"{path}: patch_size and spacing have different lengths; get the model again.")
        if not len(entry.normalization_schemes) == len(entry.use_mask_for_norm) == len(self.dataset.channels):
            raise BundleError(
                f"{path}: normalises {len(entry.normalization_schemes)} channels where {DATASET} names "
                f"{len(self.dataset.channels)}; get the model again."
            )


def _architecture(entry: Configuration, raw: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """Class name and arguments; plans from before 2.4 name them differently."""
    if entry.architecture is not None:
        name, given = entry.architecture.get("network_class_name"), entry.architecture.get("arch_kwargs")
    else:
        name, given = raw.get("UNet_class_name"), _of_old_plans(raw, len(entry.patch_size), path)
    module, _, kind = str(name).rpartition(".")
    if kind not in NETWORKS or (module and not module.startswith("dynamic_network_architectures.")):
        raise BundleError(
            f'{path}: the network is "{name}", and this program has nnU-Net\'s {" and ".join(NETWORKS)}; '
            "run this model with nnU-Net itself."
        )
    if not isinstance(given, dict):
        raise BundleError(f"{path}: architecture has no arch_kwargs; get the model again.")
    return kind, given


def _of_old_plans(raw: dict[str, Any], dimensions: int, path: Path) -> dict[str, Any]:
    try:
        stages = len(raw["n_conv_per_stage_encoder"])
        convolutions = (
            "n_conv_per_stage" if raw.get("UNet_class_name") == "PlainConvUNet" else "n_blocks_per_stage"
        )
        return {
            "n_stages": stages,
            convolutions: raw["n_conv_per_stage_encoder"],
            "features_per_stage": [
                min(raw["UNet_base_num_features"] * 2**i, raw["unet_max_num_features"]) for i in range(stages)
            ],
            "n_conv_per_stage_decoder": raw["n_conv_per_stage_decoder"],
            "kernel_sizes": raw["conv_kernel_sizes"],
            "strides": raw["pool_op_kernel_sizes"],
            "conv_op": f"Conv{dimensions}d",
            "conv_bias": True,
            "norm_op": f"InstanceNorm{dimensions}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "nonlin": "LeakyReLU",
        }
    except (KeyError, TypeError) as error:
        raise BundleError(
            f"{path}: neither architecture nor the entries of older plans describe the network; get the "
            "model again."
        ) from error


def _resampling(
    function: str, arguments: dict[str, Any], path: Path, orders: tuple[int, ...] = (0, 1, 2, 3)
) -> Resampling:
    """Raise BundleError for an unsupported resampling."""
    if function not in RESAMPLING:
        raise BundleError(
            f'{path}: resamples with "{function[:60]}", which this program does not know '
            f"({', '.join(RESAMPLING)}); "
            "run this model with nnU-Net itself."
        )
    torch_way = function == RESAMPLING[1]
    order, order_z = (
        (1, 0)
        if torch_way
        else (arguments.get("order", 1 if orders == (1,) else 3), arguments.get("order_z", 0))
    )
    force = arguments.get("force_separate_z")
    if order not in orders or order_z != 0 or force not in (None, True, False):
        raise BundleError(
            f"{path}: resampling of order {order} and order_z {order_z} is not supported here; run this "
            "model with nnU-Net itself."
        )
    return Resampling(int(order), force)


def _document(path: Path, kind: type[M]) -> M:
    try:
        if path.stat().st_size > LARGEST:
            raise BundleError(
                f"{path}: is larger than any such file of nnU-Net, so it was not read; get the model again."
            )
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"{path}: is missing; name a results folder of nnU-Net, with {PLANS}, {DATASET} and fold_0."
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: cannot be read as JSON; get the model again.") from error
    return _checked(kind, content, path, "")


def _checked(kind: type[M], content: object, path: Path, within: str) -> M:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        inside = f"{within}." if within else ""
        raise BundleError(
            f"{path}: {inside}{first_fault(error, kind)}; this is not such a file of nnU-Net version 2."
        ) from error
