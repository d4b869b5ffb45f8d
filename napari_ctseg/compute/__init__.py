"""Work in processes of their own, so that nothing it does can take the viewer down with it."""

from napari_ctseg.compute.client import NETWORKS, READER, run_in_worker, shut_down
from napari_ctseg.compute.containment import is_contained
from napari_ctseg.compute.messages import ComputingProcessError, EndedUnexpectedly

__all__ = ["NETWORKS", "READER", "ComputingProcessError", "EndedUnexpectedly", "is_contained", "run_in_worker", "shut_down"]
