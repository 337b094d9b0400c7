"""SFCN in PyTorch with our weights, written as in the field's published code: the reference of `step` and `predict`.

Needs torch, see tests/requirements-extra.txt.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cc_jax.models.parts import vgg
from cc_jax.tools.bench import import_torch


def build(variables: dict[str, Any]):
    """Return SFCN as a torch module with the weights of our model.

    Args:
      variables: Variables of the model `sfcn`.

    Returns:
      A module from a normalized image [B, 3, H, W] to a density map [B, 1, h, w].
    """
    torch = import_torch()
    functional = torch.nn.functional
    params = variables["params"]

    def conv(p, dilation: int = 1):
        height, width, channels, features = p["kernel"].shape
        padding = dilation * (height // 2), dilation * (width // 2)
        made = torch.nn.Conv2d(channels, features, (height, width), padding=padding, dilation=dilation)
        with torch.no_grad():
            made.weight.copy_(torch.tensor(np.asarray(p["kernel"])).permute(3, 2, 0, 1))
            assert made.bias is not None
            made.bias.copy_(torch.tensor(np.asarray(p["bias"])))
        return made

    def row_conv(name: str, kernel_shape: Callable):
        kernel = kernel_shape(np.asarray(params["spatial"][f"{name}_kernel"]))
        return conv({"kernel": kernel, "bias": params["spatial"][f"{name}_bias"]})

    class Peer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            encoder = params["encoder"]
            self.front = torch.nn.ModuleList(conv(encoder[f"conv{i}"]) for i in range(len(encoder)))
            names = (
                (("first", i) for i in range(len(params["first"]))),
                (("rest", i) for i in range(len(params["rest"]))),
            )
            self.back = torch.nn.ModuleList(
                conv(params[part][f"conv{i}"], 2) for some in names for part, i in some
            )
            self.down_up = row_conv("down_up", lambda k: k[None])
            self.left_right = row_conv("left_right", lambda k: k[:, None])
            self.density = conv(params["density"])

        def forward(self, x):
            i = 0
            for stride, stage in vgg.STAGES:
                if stride > 1:
                    x = functional.max_pool2d(x, 2)
                for _ in stage:
                    x = functional.relu(self.front[i](x))
                    i += 1
            for layer in self.back:
                x = functional.relu(layer(x))
            x = self.scan_rows(self.scan_rows(x, self.down_up, 2), self.left_right, 3)
            return functional.relu(self.density(x))

        @staticmethod
        def scan_rows(x, layer, axis: int):
            rows = list(x.split(1, axis))
            order = list(range(1, len(rows)))
            for i in order:
                rows[i] = functional.relu(layer(rows[i - 1])) + rows[i]
            for i in [i - 1 for i in reversed(order)]:
                rows[i] = functional.relu(layer(rows[i + 1])) + rows[i]
            return torch.cat(rows, axis)

    return Peer()


def layouts(
    make: Callable, image_BxHxWx3: np.ndarray, variables: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield a torch module and its input in both memory layouts, on the GPU if there is one.

    Args:
      make: Makes the module.
      image_BxHxWx3: RGB image, uint8.
      variables: Variables of our model, for its normalization.

    Yields:
      The name of the layout, the module, and the normalized image [B, 3, H, W].
    """
    torch = import_torch()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    norm = variables["norm"]
    image = (image_BxHxWx3.astype(np.float32) / 255 - np.asarray(norm["mean"])) / np.asarray(norm["std"])
    image = torch.tensor(image).permute(0, 3, 1, 2)
    for name, layout in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
        yield name, make().to(device, memory_format=layout), image.contiguous(memory_format=layout).to(device)
