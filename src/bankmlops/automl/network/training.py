"""Trains TabM with PyTorch: AdamW over a running mean of the weights, until the held-out loss rises or the time is over."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy
import tabm
import torch
from rtdl_num_embeddings import PiecewiseLinearEmbeddings
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bankmlops.automl.network.columns import NetworkColumns

Array = numpy.ndarray[Any, Any]

_PATIENCE = 8  # epochs without a lower held-out loss
_BATCHES = 100  # in an epoch, where that makes batches of a usual size
_SMALLEST_BATCH, _LARGEST_BATCH = 64, 512
_STEEPEST = 1.0  # the longest step of a gradient
_SCORED_AT_ONCE = 4096
_EMBEDDED = 512  # units that all numbers together fill at most, where they are few enough


@dataclass(frozen=True, slots=True)
class Examples:
    """`positions` float32 [rows, inputs] as `NetworkColumns` has them, `codes` int64 [rows] from 0."""

    positions: Array
    codes: Array


@dataclass(frozen=True, slots=True)
class Trained:
    """The network, and how many epochs it was trained."""

    network: Network
    epochs: int


class Network(nn.Module):  # type: ignore[misc]
    """Embeds the inputs and asks `k` multilayer perceptrons, which share most of their weights; answers [rows, k, classes]."""

    def __init__(self, columns: NetworkColumns, parameters: Mapping[str, float], classes: int) -> None:
        super().__init__()
        size, members = _embedding_size(columns, int(parameters["d_embedding"])), int(parameters["k"])
        bins = [torch.as_tensor(number.positions, dtype=torch.float32) for number in columns.numbers]
        self.numbers = PiecewiseLinearEmbeddings(bins, size, activation=False, version="B") if bins else None
        widths = [len(group) for group in columns.categories]
        self.categories = nn.ModuleList(nn.Linear(width, min(width, size), bias=False) for width in widths)
        self.splits = [len(columns.numbers), len(columns.flags), *widths]
        chunks = [*[size] * len(bins), *[1] * len(columns.flags), *(min(width, size) for width in widths)]
        self.view = tabm.EnsembleView(k=members)
        self.backbone = tabm.make_tabm_backbone(
            d_in=sum(chunks),
            n_blocks=int(parameters["n_blocks"]),
            d_block=int(parameters["d_block"]),
            dropout=parameters["dropout"],
            k=members,
            start_scaling_init="normal" if bins else "random-signs",
            start_scaling_init_chunks=chunks,
        )
        self.output = tabm.LinearEnsemble(int(parameters["d_block"]), classes, k=members)

    def embed(self, positions: Any) -> Any:
        """[rows, embedded]: each input's embedding beside the next."""
        numbers, flags, *groups = positions.split(self.splits, dim=1)
        parts = [self.numbers(numbers).flatten(1)] if self.numbers is not None else []
        embedded = [layer(group) for layer, group in zip(self.categories, groups, strict=True)]
        return torch.cat([*parts, flags, *embedded], dim=1)

    def forward(self, positions: Any) -> Any:
        """[rows, k, classes]: each member's logits."""
        return self.output(self.backbone(self.view(self.embed(positions))))


def _embedding_size(columns: NetworkColumns, wanted: int) -> int:
    return max(min(wanted, _EMBEDDED // max(len(columns.numbers), 1)), 1)


class _Training:
    def __init__(self, network: Network, examples: Examples, parameters: Mapping[str, float], device: str) -> None:
        self._network = network.to(device)
        self._device = device
        self._positions = torch.as_tensor(examples.positions, device=device)
        self._codes = torch.as_tensor(examples.codes, device=device)
        rate, decay = parameters["learning_rate"], parameters["weight_decay"]
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
        rows = len(examples.codes)
        self._batch = min(max(2 ** round(math.log2(rows / _BATCHES)), _SMALLEST_BATCH), _LARGEST_BATCH)
        steps = math.ceil(rows / self._batch)
        self._averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / (1 + steps / 2)))

    def epoch(self, is_over: Callable[[], bool]) -> bool:
        """Go through all rows once; False where the time was over before that."""
        self._network.train()
        for rows in torch.randperm(len(self._codes), device=self._device).split(self._batch):
            if is_over():
                return False
            self._step(self._positions[rows], self._codes[rows])
        return True

    def _step(self, positions: Any, codes: Any) -> None:
        logits = self._network(positions)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), codes.repeat_interleave(logits.shape[1]))
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), _STEEPEST)
        self._optimizer.step()
        self._averaged.update_parameters(self._network)

    @property
    def network(self) -> Network:
        """The running mean of it, as it stands."""
        averaged: Network = self._averaged.module
        averaged.eval()
        return averaged


def train(
    columns: NetworkColumns,
    examples: Examples,
    held_out: Examples | None,
    parameters: Mapping[str, float],
    *,
    seed: int,
    threads: int,
    device: str,
    is_over: Callable[[], bool],
) -> Trained:
    """Train at most `epochs` of the parameters; where there are rows held out, the best epoch of them is the network."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    network = Network(columns, parameters, int(examples.codes.max()) + 1)
    training = _Training(network, examples, parameters, device)
    epochs = int(parameters["epochs"])
    if held_out is None:
        done = sum(1 for _ in takewhile(bool, (training.epoch(is_over) for _ in range(epochs))))
        return Trained(training.network.cpu(), done)
    return _best(training, held_out, epochs, device, is_over)


def _best(training: _Training, held_out: Examples, epochs: int, device: str, is_over: Callable[[], bool]) -> Trained:
    positions, codes = (torch.as_tensor(array, device=device) for array in (held_out.positions, held_out.codes))
    lowest, best, at = math.inf, training.network, 0
    for epoch in range(1, epochs + 1):
        whole = training.epoch(is_over)
        loss = _loss(training.network, positions, codes)
        if loss < lowest:
            lowest, best, at = loss, copy.deepcopy(training.network), epoch
        if not whole or epoch - at >= _PATIENCE or not math.isfinite(loss):
            break
    return Trained(best.cpu(), at)


def _loss(network: Network, positions: Any, codes: Any) -> float:
    """The log loss of the members' mean."""
    with torch.inference_mode():
        parts = [network(part).softmax(-1).mean(1) for part in positions.split(_SCORED_AT_ONCE)]
        return float(nn.functional.nll_loss(torch.cat(parts).clamp_min(1e-7).log(), codes))
