"""DeepFraudNet, 256-128-64-1: in PyTorch where it is installed, else scikit-learn's network of the same shape."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.metrics import average_precision_score

from streaming.errors import TidemarkError

SHAPE = (256, 128, 64)
BATCH, RATE, DECAY, DROPOUT = 512, 1e-3, 1e-4, 0.3
EPOCHS, PATIENCE = 60, 8
REMEDY = "DeepFraudNet needs PyTorch: pip install torch"


class NoTorch(TidemarkError):
    """PyTorch is not installed."""


class Network(Protocol):
    """A trained network."""

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Log-odds of fraud, one for each row."""
        ...


@dataclass(frozen=True)
class Trained:
    """`epochs` were run in `seconds`; the best by the validation's PR-AUC was kept."""

    network: Network
    epochs: int
    seconds: float


Train = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], Trained]
"""Rows and labels to learn from, rows and labels to stop by, a seed -> a network."""


def trainer(wanted: str = "") -> tuple[str, Train]:
    """The name of a library and how to train with it: `torch`, `sklearn`, or the first that is there.

    Raises NoTorch when torch is wanted and missing.
    """
    if wanted != "sklearn":
        try:
            import torch
        except ImportError:
            if wanted == "torch":
                raise NoTorch(REMEDY) from None
        else:
            return f"PyTorch {torch.__version__.split('+')[0]}", with_torch
    import sklearn

    return f"scikit-learn {sklearn.__version__}", with_sklearn


def with_torch(
    rows: np.ndarray, labels: np.ndarray, check: np.ndarray, truth: np.ndarray, seed: int
) -> Trained:
    """Adam on the binary cross-entropy; the rate halves when the check stands still, and then training ends."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    layers: list[Any] = []
    width = rows.shape[1]
    for size in SHAPE:
        layers += [nn.Linear(width, size), nn.BatchNorm1d(size), nn.ReLU(), nn.Dropout(DROPOUT)]
        width = size
    model = nn.Sequential(*layers, nn.Linear(width, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=3)
    loss = nn.BCEWithLogitsLoss()
    x, y = torch.from_numpy(rows), torch.from_numpy(labels.astype(np.float32))
    network = TorchNetwork(model)

    def epoch() -> None:
        model.train()
        order = torch.randperm(len(x))
        # A last batch of one row has no variance to be normalised by.
        for part in (p for p in order.split(BATCH) if len(p) > 1):
            optimizer.zero_grad()
            loss(model(x[part]).squeeze(1), y[part]).backward()
            optimizer.step()

    def keep() -> Network:
        return TorchNetwork(copy.deepcopy(model))

    return _until_it_stands(epoch, lambda: network.logits(check), keep, truth, schedule.step)


def with_sklearn(
    rows: np.ndarray, labels: np.ndarray, check: np.ndarray, truth: np.ndarray, seed: int
) -> Trained:
    """The same layers, batch, rate and decay in scikit-learn, which has neither batch norm nor dropout."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        SHAPE, batch_size=min(BATCH, len(rows)), learning_rate_init=RATE, alpha=DECAY, random_state=seed
    )
    network = SklearnNetwork(model)

    def epoch() -> None:
        model.partial_fit(rows, labels, classes=[0, 1])

    def keep() -> Network:
        return SklearnNetwork(copy.deepcopy(model))

    return _until_it_stands(epoch, lambda: network.logits(check), keep, truth, lambda _: None)


def _until_it_stands(
    epoch: Callable[[], None],
    score: Callable[[], np.ndarray],
    keep: Callable[[], Network],
    truth: np.ndarray,
    step: Callable[[float], Any],
) -> Trained:
    began, best, kept, since, done = time.monotonic(), -1.0, None, 0, 0
    while done < EPOCHS and since < PATIENCE:
        epoch()
        done += 1
        reached = float(average_precision_score(truth, score()))
        step(reached)
        since += 1
        if reached > best:
            best, kept, since = reached, keep(), 0
    assert kept is not None
    return Trained(kept, done, time.monotonic() - began)


@dataclass(frozen=True)
class TorchNetwork:
    """See `Network`."""

    model: Any

    def logits(self, rows: np.ndarray) -> np.ndarray:
        import torch

        self.model.eval()
        with torch.no_grad():
            return self.model(torch.from_numpy(rows)).squeeze(1).numpy().astype(np.float64)


@dataclass(frozen=True)
class SklearnNetwork:
    """See `Network`."""

    model: Any

    def logits(self, rows: np.ndarray) -> np.ndarray:
        p = np.clip(self.model.predict_proba(rows)[:, 1].astype(np.float64), 1e-9, 1 - 1e-9)
        return np.log(p / (1 - p))
