"""Distilling many kept sets at once, with common random numbers.

In every step all cells share one random network, one augmentation and one pool of real images
(`goldore.studies.pool`): every image that a cell needs is embedded once, and all synthetic images are updated
as one batch. That makes a cell cheap, and differences between cells more precise than accuracies.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from goldore.networks.architecture import Architecture
from goldore.networks.stacked import StackedNetworks, logits_of
from goldore.studies.pool import ClassPool, Pool
from goldore.training.augmentation import Drawn, augment, draw
from goldore.training.devices import abilities
from goldore.training.distill import gradient_distance, matched_weights
from goldore.training.embedding import embed
from goldore.training.execution import TYPES, Execution, features_function
from goldore.training.images import DeviceDataset, to_device
from goldore.trials import Distiller, MatchRecipe, Precision
from goldore.trials.seeds import MAX_SEED

_MOMENTUM = 0.5  # of the synthetic images' optimiser, as in both papers' code
_CPU_IMAGES, _CARD_IMAGES = 128, 4096  # that pass through the network at once
_COMPILED_IMAGES = 64  # likewise where the pass is compiled: they stay in the caches
_STEP = 1  # the random streams of a seed


class Matcher:
    """Makes the synthetic images of all cells of one seed.

    Args:
        data: the training set on its device.
        architecture: of the random networks.
        method: "dm" or "dc".
        recipe: steps, learning rate, real images.
        augmentations: strategies that are drawn from.
        precision: of activations.
        execution: how networks run.
    """

    def __init__(
        self,
        data: DeviceDataset,
        architecture: Architecture,
        method: Distiller,
        recipe: MatchRecipe,
        augmentations: tuple[str, ...],
        precision: Precision,
        execution: Execution,
    ) -> None:
        self._data, self._architecture, self._recipe = data, architecture, recipe
        self._augmentations, self._type = augmentations, TYPES[precision]
        self._network = StackedNetworks(
            architecture, [np.random.default_rng(0)], data.device, execution.layout
        )
        self._gradients = self._match_gradients if method == "dc" else self._match_distributions
        self._at_once = _CARD_IMAGES if abilities(data.device).own_memory else _CPU_IMAGES
        self._compiled = execution.compiled
        self._features = features_function(
            architecture, execution.layout, precision, compiled=execution.compiled, device=data.device
        )

    def __call__(
        self,
        seed: np.random.SeedSequence,
        pool: Pool,
        starts: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]],
        tick: Callable[[int], None] = lambda _: None,
    ) -> list[Tensor]:
        """Distil.

        Args:
            seed: of the networks, augmentations and draws.
            pool: of real images.
            starts: for each number of images per class, the sets that are distilled, [E], and the positions
                that their images start from, [E, K, ipc].
            tick: told of each step.

        Returns:
            For each of them normalised images, float32 [E, K, ipc, C, H, W].
        """
        data, recipe = self._data, self._recipe
        synthetic = [self._start(seed, rows) for _, rows in starts]
        sets = [to_device(np.asarray(which, dtype=np.int64), data.device) for which, _ in starts]
        velocity = [torch.zeros_like(each) for each in synthetic]
        for step in range(recipe.match_steps):
            random = np.random.default_rng(
                np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, _STEP, step))
            )
            key = torch.tensor([random.integers(MAX_SEED)], device=data.device)
            drawn = draw(self._augmentations, random)
            self._network.redraw(key)
            gradients = self._gradients(pool.draw(random), sets, synthetic, drawn)
            for images, moved, gradient in zip(synthetic, velocity, gradients, strict=True):
                rate = recipe.match_lr * (images.shape[2] if recipe.per_image else 1)
                moved.mul_(_MOMENTUM).add_(gradient)
                images.sub_(moved, alpha=rate)
            tick(step + 1)
        return synthetic

    def _start(self, seed: np.random.SeedSequence, rows: NDArray[np.integer]) -> Tensor:
        images = self._take(rows.astype(np.int64))  # [E, K, ipc, C, H, W]
        if self._recipe.start == "noise":
            noise = np.random.default_rng(seed).standard_normal(images.shape[1:], dtype=np.float32)
            return to_device(noise, self._data.device).expand(images.shape).clone()
        return images

    def _take(self, rows: NDArray[np.int64]) -> Tensor:
        return self._data.normalize(self._data.images.take(to_device(rows, self._data.index_device)))

    def _embedded(self, images: Tensor) -> Tensor:
        """Embeddings, float32 [n, F]."""
        size = _COMPILED_IMAGES if self._compiled else self._at_once
        return embed(self._features, self._network, images, size, fixed=self._compiled)[0]

    def _match_distributions(
        self, drawn: list[ClassPool], sets: list[Tensor], synthetic: list[Tensor], augmentation: Drawn
    ) -> list[Tensor]:
        """Gradients of the squared distances between the mean embeddings of each class."""
        rows = np.concatenate([each.rows for each in drawn])
        embedded = self._embedded(augment(self._take(rows), augmentation))
        parts = torch.split(embedded, [len(each.rows) for each in drawn])
        targets = torch.stack(
            [self._means(each.weights(), part) for each, part in zip(drawn, parts, strict=True)], dim=1
        )

        def distances(wanted: Tensor, images: Tensor, rows: Tensor) -> Tensor:  # images [n, ipc, C, H, W]
            changed = augment(images.flatten(0, 1), augmentation).to(self._type)
            made = self._network.features(changed)[0].float().view(*images.shape[:2], -1).mean(1)
            return ((made - wanted[rows]) ** 2).sum()

        found = []
        for which, images in zip(sets, synthetic, strict=True):
            wanted = targets[which].flatten(0, 1)
            found.append(self._in_parts(images, partial(distances, wanted)))
        return found

    def _means(self, weights: NDArray[np.float32], embedded: Tensor) -> Tensor:
        """Weighted sums [S, F] of embeddings [n, F].

        Their float32 must not depend on the order of summation, that is on which other sets there are: a
        difference in the last place grows over the steps to one of half a point of accuracy.
        """
        wide = torch.float64 if abilities(embedded.device).float64 else torch.float32
        return (to_device(weights, embedded.device).to(wide) @ embedded.to(wide)).float()

    def _match_gradients(
        self, drawn: list[ClassPool], sets: list[Tensor], synthetic: list[Tensor], augmentation: Drawn
    ) -> list[Tensor]:
        """Gradients of the distances between the gradients of the networks' weights."""
        del augmentation  # the method has none
        names = matched_weights(self._network)
        targets = [
            torch.stack(each, dim=1) for each in zip(*self._wanted(drawn, names), strict=True)
        ]  # [S, K, ...]
        classes = targets[0].shape[1]

        def distances(wanted: list[Tensor], images: Tensor, rows: Tensor) -> Tensor:
            count = len(images)
            copies = {
                name: value.detach().expand(count, *value.shape[1:])
                for name, value in self._network.parameters.items()
            }
            copies |= {name: copies[name].clone().requires_grad_() for name in names}
            stacked = images.transpose(0, 1).flatten(1, 2).to(self._type)  # [ipc, n * C, H, W]
            logits = logits_of(
                self._architecture,
                self._network.layout,
                copies,
                self._network.running,
                stacked,
                training=True,
            )  # [n, ipc, K]
            labels = (rows % classes)[:, None].expand(-1, images.shape[1])
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / images.shape[1]
            given = torch.autograd.grad(loss, [copies[name] for name in names], create_graph=True)
            pairs = zip(given, wanted, strict=True)
            return torch.stack([gradient_distance(own, each[rows]) for own, each in pairs]).sum()

        found = []
        for which, images in zip(sets, synthetic, strict=True):
            wanted = [each[which].flatten(0, 1) for each in targets]
            found.append(self._in_parts(images, partial(distances, wanted)))
        return found

    def _wanted(self, drawn: list[ClassPool], names: list[str]) -> Iterator[list[Tensor]]:
        """The gradients on each set's batch, class by class: for each weight float32 [S, ...]."""
        weights = [self._network.parameters[name] for name in names]
        for label, each in enumerate(drawn):
            images = self._take(each.rows)
            found: list[list[Tensor]] = []
            for columns in each.batches:
                shown = images[to_device(columns, images.device)].to(self._type)
                logits = self._network(shown, training=True)[0]
                loss = F.cross_entropy(logits, torch.full((len(logits),), label, device=logits.device))
                found.append([grad[0] for grad in torch.autograd.grad(loss, weights)])
            yield [torch.stack(of_sets) for of_sets in zip(*found, strict=True)]

    def _in_parts(self, images: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The gradient of a distance that is a sum over cells and classes, some of them at a time.

        Args:
            images: [E, K, ipc, C, H, W].
            distance: of images [n, ipc, C, H, W] with their rows, counted over cells and classes.
        """
        flat = images.flatten(0, 1)
        some = max(1, self._at_once // flat.shape[1])
        rows = torch.arange(len(flat), device=images.device)
        found: list[Tensor] = []
        for part, which in zip(torch.split(flat, some), torch.split(rows, some), strict=True):
            own = part.detach().requires_grad_()
            found += torch.autograd.grad(distance(own, which), own)
        return torch.cat(found).view_as(images)
