"""Tests of networks run side by side, so each uses one thread."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """torch with a single thread in this process."""
    torch.set_num_threads(1)
