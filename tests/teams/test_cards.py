"""Whole runs on cards: one process, and two that share them."""

import contextlib
import socket

import numpy as np
import pytest
import torch

import goldore
from goldore.networks.config import ConvNetConfig
from goldore.trials import DistillRecipe, LossRecipe, UtilityRecipe
from tests.cuda_rules import emulated
from tests.teams.commands import Command
from tests.teams.conftest import LOSS, UTILITY

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("error:a CUDA graph cannot be captured")]
NETWORK = ConvNetConfig(depth=1, width=4)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_on_a_card_scores_as_one_on_the_cpu(dataset, tmp_path, precision):
    recipe = LossRecipe(network=NETWORK, epochs=2, batch_size=16, lr=0.05, precision=precision)
    found = {
        device: goldore.score(
            dataset, trials=2, recipe=recipe, device=device, ensemble_size=2, out=tmp_path / f"{device}.h5"
        )
        for device in ("cuda", "cpu")
    }
    for name, score in found["cpu"].scores.items():
        close = {"rtol": 1e-2, "atol": 1e-3} if precision == "float32" else {"rtol": 0.1, "atol": 0.05}
        np.testing.assert_allclose(found["cuda"].scores[name].values, score.values, **close)


@pytest.mark.parametrize("distill", [None, DistillRecipe(distill_steps=2)])
def test_utility_on_a_card_is_that_of_the_cpu(dataset, tmp_path, distill):
    utility = UtilityRecipe(
        network=NETWORK, steps=3, lr=0.05, subset_per_class=4, distill=distill, precision="float32"
    )
    found = [
        goldore.score(
            dataset,
            scores="MonteCarlo",
            utility=utility,
            utility_trials=6,
            outcome="logprob",
            device=device,
            ensemble_size=3,
            out=tmp_path / f"{device}.h5",
        )
        for device in ("cuda", "cpu")
    ]
    values = [file.scores["MonteCarlo"].values for file in found]
    np.testing.assert_allclose(*values, rtol=5e-2, atol=1e-3)


class CardCommand(Command):
    """A command on real cards, or on emulated ones."""

    @staticmethod
    def run(*arguments):
        with contextlib.nullcontext() if torch.cuda.is_available() else emulated():
            Command.run(*arguments)


def test_two_workers_share_the_cards(data, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    options = (*LOSS, *UTILITY[4:], "--scores", "LossInit,MonteCarlo", "--trials", 3, "--utility-trials", 6)
    command = ("score", data, *options, "--device", "cuda", "--out", tmp_path / "shared.h5")
    workers = [
        CardCommand(tmp_path, command, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(2)
    ]
    for worker in workers:
        assert worker.wait().code == 0, worker.stderr
    file = goldore.load_scores(tmp_path / "shared.h5")
    assert len(file.loss_trials.done) == 3
    assert len(file.utility_trials.done) == 6
    assert list(tmp_path.glob("*.h5")) == [tmp_path / "shared.h5"]
