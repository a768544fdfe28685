"""HALI's train step in PyTorch, from the same layer tables; run as a job of compare_pytorch.py.

It has the layers, the draws, the losses, both optimisers and the averages of `hali_tf.models.hali`
with default flags, written as PyTorch would have it: eager, channels last, one forward pass and a
backward pass for each player. Strided convolutions pad both sides alike, where TensorFlow pads one
side more; the work is the same. TensorFlow is not imported, so torch may have a Python of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hali_tf.architectures import ARCHITECTURES
from hali_tf.architectures.rows import (
    Architecture,
    Conv,
    ConvTranspose,
    Gaussian,
    Image,
    Logit,
    Residual,
    Table,
    Upsample,
)
from scripts.benchmarking import jobs

_NOISE = 0.2


class _Maxout(nn.Module):
    def forward(self, x):
        return torch.maximum(*x.chunk(2, dim=1))


class _Residual(nn.Module):
    def __init__(self, maps, slope):
        super().__init__()
        first, second = Conv(maps, 3), Conv(maps, 3, activation=None)
        self.change = nn.Sequential(*_convolution(first, maps, slope), *_convolution(second, maps))
        self.activate = nn.LeakyReLU(slope)

    def forward(self, x):
        return self.activate(x + self.change(x))


def _convolution(row, maps, slope=0.0):
    """The modules of a `Conv` on so many feature maps."""
    filters = row.features * (2 if row.activation == "maxout" else 1)
    padding = (row.kernel - 1) // 2 if row.padding == "same" else 0
    convolution = nn.Conv2d(
        maps, filters, row.kernel, row.strides, padding, bias=row.norm != "batch"
    )
    if row.norm == "weight":
        convolution = nn.utils.parametrizations.weight_norm(convolution)
    activations = {"leaky_relu": [nn.LeakyReLU(slope)], "maxout": [_Maxout()], None: []}
    return [
        convolution,
        *([nn.BatchNorm2d(filters, momentum=0.05)] if row.norm == "batch" else []),
        *activations[row.activation],
        *([nn.Dropout(row.dropout)] if row.dropout else []),
    ]


class Stack(nn.Sequential):
    """The layers of a table's rows, [B, C, H, W] to [B, C', H', W'].

    Args:
      rows: of `hali_tf.architectures`.
      maps: C.
      slope: of the leaky ReLU.
      channels: what a Gaussian or an Image projects to; a Gaussian to twice as many.
    """

    def __init__(self, rows: Table, maps: int, slope: float, channels: int = 0):
        layers: list[nn.Module] = []
        for row in rows:
            if isinstance(row, Conv):
                layers += _convolution(row, maps, slope)
            elif isinstance(row, ConvTranspose):
                transposed = nn.ConvTranspose2d(
                    maps, row.features, row.kernel, row.strides, bias=False
                )
                norm = nn.BatchNorm2d(row.features, momentum=0.05)
                layers += [transposed, norm, nn.LeakyReLU(slope)]
            elif isinstance(row, Residual):
                layers.append(_Residual(maps, slope))
            elif isinstance(row, Upsample):
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            elif isinstance(row, Gaussian):
                layers.append(nn.Conv2d(maps, 2 * channels, 1))
            elif isinstance(row, Image):
                pixels = row.block**2 * channels
                projection = nn.Conv2d(maps, pixels, row.kernel, padding=row.kernel // 2)
                layers.append(projection)
                if row.block > 1:  # 'same', whose mean is over the pixels that there are
                    after = row.block // 2
                    before = row.block - 1 - after
                    layers += [
                        nn.PixelShuffle(row.block),
                        nn.ReplicationPad2d((before, after, before, after)),
                        nn.AvgPool2d(row.block, stride=1),
                    ]
                layers.append(nn.Tanh())
            elif isinstance(row, Logit):
                layers += [nn.Dropout(row.dropout), nn.Conv2d(maps, 1, 1)]
            else:
                raise TypeError(f"no PyTorch equivalent of {row!r}")
            maps = getattr(row, "features", maps)
        super().__init__(*layers)
        self.maps = maps


class Discriminator(nn.Module):
    """D(x, z_1, ..., z_L): logits [B], with dropout."""

    def __init__(self, table: Architecture):
        super().__init__()
        maps, slope = table.image[-1], table.leaky_slope
        self.levels, self.latents = nn.ModuleList(), nn.ModuleList()
        for level in table.levels:
            body = Stack(level.discriminator, maps, slope)
            latent = Stack(level.latent_discriminator, level.latent[-1], slope)
            self.levels.append(body)
            self.latents.append(latent)
            maps = body.maps + latent.maps
        self.joint = Stack(table.joint, maps, slope)

    def forward(self, x: Tensor, zs: list[Tensor]) -> Tensor:
        """Takes [B, C, h, w] each."""
        for body, latent, z in zip(self.levels, self.latents, zs):
            features = body(x), latent(z)
            x = torch.cat([features[0], features[1].to(features[0].dtype)], dim=1)
        return self.joint(x).flatten().float()


class Hali(nn.Module):
    """Encoder, decoder and discriminator of a table, in float32; latents are [B, c, h, w]."""

    def __init__(self, table: Architecture):
        super().__init__()
        slope = table.leaky_slope
        shapes = [table.image, *(level.latent for level in table.levels)]
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level, below in zip(table.levels, shapes):
            top = level.latent[-1]
            self.encoder.append(Stack(level.encoder, below[-1], slope, top))
            self.decoder.append(Stack(level.decoder, top, slope, below[-1]))
        self.discriminator = Discriminator(table)
        self._top = table.levels[-1].latent

    def examples(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """[x, z_1, ..., z_L] of the encoder's side, and of the decoder's, from images [B, ...]."""
        of_q = [x + _NOISE * torch.randn_like(x)]
        for body in self.encoder:
            of_q.append(_draw(body(of_q[-1])))
        size = self._top if len(self._top) == 1 else (self._top[-1], *self._top[:-1])
        z = torch.randn(len(x), *size).reshape(len(x), size[0], *(size[1:] or (1, 1)))
        of_p = [z]
        for body in reversed(self.decoder[1:]):
            of_p.insert(0, _draw(body(of_p[0])))
        image = self.decoder[0](of_p[0]).float()
        return of_q, [image + _NOISE * torch.randn_like(image), *of_p]


def _draw(parameters):
    """From a diagonal Gaussian whose log sigma is bounded to (-5, 1)."""
    mean, raw = parameters.float().chunk(2, dim=1)
    log_sigma = -2 + 3 * torch.tanh((raw + 2) / 3)
    return mean + log_sigma.exp() * torch.randn_like(mean)


def make_step(model: Hali, precision: str) -> Callable[[Tensor], tuple[float, float]]:
    """A function that makes one update of `model` from images, uint8 [B, H, W, C].

    It returns the losses of discriminator and generator.

    Args:
      model: in training mode.
      precision: "float32" or "mixed_bfloat16".
    """
    model.to(memory_format=torch.channels_last)
    coders = nn.ModuleList([model.encoder, model.decoder])
    average = torch.optim.swa_utils.AveragedModel(
        coders, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    players = [list(model.discriminator.parameters()), list(coders.parameters())]
    optimizers = [
        torch.optim.Adam(player, 1e-4, (0.5, 0.999), eps=1e-7, fused=True) for player in players
    ]

    def step(images):
        x = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16"):
            of_q, of_p = model.examples(x)
            both = [torch.cat(pair) for pair in zip(of_q, of_p)]
            s_q, s_p = model.discriminator(both[0], both[1:]).chunk(2)
        d_loss = (functional.softplus(-s_q) + functional.softplus(s_p)).mean()
        g_loss = (functional.softplus(s_q) + functional.softplus(-s_p)).mean()
        d_gradients = torch.autograd.grad(d_loss, players[0], retain_graph=True)
        g_gradients = torch.autograd.grad(g_loss, players[1])
        norms = []
        for player, gradients, optimizer in zip(players, (d_gradients, g_gradients), optimizers):
            norms.append(torch.nn.utils.get_total_norm(gradients))
            for parameter, gradient in zip(player, gradients):
                parameter.grad = gradient
            optimizer.step()
        average.update_parameters(coders)
        return d_loss.item(), g_loss.item()

    return step


def main() -> None:
    """Times the job that the one argument holds as JSON, and prints the result as JSON."""
    job = json.loads(sys.argv[1])
    table = ARCHITECTURES[job["architecture"]]
    table = table.adapt(table.image[-1], job["width"])
    shape = (job["batch_size"], *table.image)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    step = make_step(Hali(table), job["precision"])
    result = jobs.timed(lambda: step(images), job["steps"])
    print(json.dumps({**result, "torch": torch.__version__, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
