"""Count images that are too large for one program: in tiles, to the same count as in one piece.

The encoder and the back end are convolutions. Their output at a cell depends on no pixel farther away than
`model.reach`. Tiles overlap by that much, so that each cell is computed in a tile that contains everything it depends
on. The spatial encoder passes rows from one end of the image to the other. It therefore runs over the back end's output
for the whole image, which has an eighth of the size, and processes a block of rows at a time.

All of this needs `uncertainty.tileable`: every sample is `encode`, one mask over the channels, `decode`.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from cc_jax.errors import ConfigError
from cc_jax.models.parts import layers
from cc_jax.units import CELL, people_per_cell

ALWAYS_WHOLE = (
    2**20
)  # pixels; images up to this size are not cut, and the memory that they take is not measured
_PROBE_SIDE = 512  # pixels; the memory per pixel is measured on an image with sides of this length
_ROWS = 64  # cells; the spatial encoder processes this many rows at a time

Size = tuple[int, int]  # (height, width) in pixels
Span = tuple[int, int, int]  # a tile's first pixel, then the first pixel and the end of what it contributes


def make_sampler(network, sample_whole: Callable, memory_gib: float) -> Callable:
    """Return a function that counts images in one piece where memory allows it, and in tiles otherwise.

    Args:
      network: `build.CountingNetwork`.
      sample_whole: jitted `sample(variables, image [B,H,W,3], roi [B,H,W,1]) -> (people per cell [S,B,h,w], embedding
        [B,C])`. The returned function has the same arguments and results.
      memory_gib: GiB of a device's memory that the network's intermediate results may take. The image and the program
        come on top. So does, in the host's memory, the back end's output (`sfcn`, `lite`: 4 bytes per pixel and sample).

    The returned function raises ConfigError when an image needs tiles and the uncertainty is not tileable.
    """
    tiles = Tiles(network)
    affordable: list[int] = []  # pixels that a device can process at once; measured when first needed

    def sample(variables, image, roi):
        batch = image.shape[0] // (len(image.sharding.device_set) if isinstance(image, jax.Array) else 1)
        area = batch * image.shape[1] * image.shape[2]
        if area > ALWAYS_WHOLE and not affordable:
            affordable.append(int(memory_gib * 2**30 / bytes_per_pixel(sample_whole, variables)))
        if area <= ALWAYS_WHOLE or area <= affordable[0]:
            return sample_whole(variables, image, roi)
        size = image.shape[1], image.shape[2]
        _check_tileable(network.uncertainty, size, memory_gib)
        # Half of the pixels: the results that are kept of earlier tiles take memory, too.
        window = window_of(size, affordable[0] // 2 // batch, network.model.reach)
        return tiles.sample(variables, image, roi, window)

    return sample


def _check_tileable(uncertainty, size: Size, memory_gib: float) -> None:
    """Raise ConfigError if an image of this size cannot be counted in tiles."""
    if uncertainty.tileable:
        return
    name = type(uncertainty).__module__.rpartition(".")[2]
    raise ConfigError(
        f"an image of {size[1]}x{size[0]} pixels needs more than memory_gib={memory_gib:g} in one piece, and the "
        f"uncertainty {name!r} cannot count in tiles (its `tileable` is False): raise memory_gib "
        "(--memory_gib or --config.evaluation.memory_gib) or lower max_side (--max_side or --config.resize.max_side)"
    )


def bytes_per_pixel(sample_whole: Callable, variables) -> float:
    """Return the device memory that intermediate results take for each pixel of the image, as the compiler states it."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), variables)
    image, roi = (
        jax.ShapeDtypeStruct((1, _PROBE_SIDE, _PROBE_SIDE, channels), jnp.uint8) for channels in (3, 1)
    )
    program = sample_whole.lower(shapes, image, roi).compile()
    return program.memory_analysis().temp_size_in_bytes / _PROBE_SIDE**2


def window_of(size: Size, pixels: int, reach: int) -> Size:
    """Choose the tiles' (height, width): at most `pixels` pixels each, and as few pixels as possible in all tiles together.

    Where the image is larger than that, a side is at least `4 * reach`, even if this exceeds `pixels`. Smaller tiles
    would spend most of their pixels on the overlap.
    """
    choices = list(itertools.product(*(list(_windows(-(-side // CELL) * CELL, reach)) for side in size)))
    fitting = [(rows, columns) for rows, columns in choices if rows[1] * columns[1] <= pixels]
    rows, columns = min(fitting or choices[-1:], key=lambda two: math.prod((*two[0], *two[1])))
    return rows[1], columns[1]


def _windows(side: int, reach: int) -> Iterator[tuple[int, int]]:
    """Yield (number of tiles along a side, pixels of each), chosen so that the last tile is as full as the others."""
    yield 1, side
    for number in itertools.count(2):
        window = max(4 * reach, -(-(side - 2 * reach) // (CELL * number)) * CELL + 2 * reach)
        if window >= side:
            return
        yield number, window
        if window == 4 * reach:
            return


def spans(size: int, window: int, reach: int) -> Iterator[Span]:
    """Yield the tiles along a side of `size` pixels, each of `window` pixels; see `Span`.

    Together they contribute every pixel once. What a tile contributes keeps a distance of `reach` from the tile's ends,
    except where these are the ends of the image.
    """
    start = 0
    while start < size:
        begin = max(0, min(start - reach, size - window))
        end = size if begin + window >= size else begin + window - reach
        yield begin, start, end
        start = end


class Tiles:
    """Counts images in tiles. Holds the programs for that, each of which is compiled once.

    Args:
      network: `build.CountingNetwork`.
    """

    def __init__(self, network):
        self._network = network
        self._back_end = jax.jit(self._run_back_end)
        self._hand_on = jax.jit(
            functools.partial(network.model.apply, method="hand_on"), static_argnums=(1, 2)
        )
        self._density_head = jax.jit(self._run_density_head)

    def sample(self, variables, image, roi, window: Size):
        """Return what `sample_whole` of `make_sampler` returns, as NumPy arrays, from tiles of `window` pixels."""
        image, roi = (
            layers.pad_to_multiple(x, CELL) if any(n % CELL for n in x.shape[1:3]) else x
            for x in (image, roi)
        )
        outputs, cells, embedding = self._assemble_back_end(variables, image, roi, window)
        member = self._network.uncertainty.member
        people = [self._people(member(variables, s), x, cells) for s, x in enumerate(outputs)]
        return np.stack(people), embedding

    def _assemble_back_end(self, variables, image, roi, window: Size):
        """Return the back end's output [B,h,w,C] of each sample, the ROI per cell [B,h,w,1], and the embedding [B,C]."""
        batch, height, width, _ = image.shape
        reach = self._network.model.reach
        outputs, total, number = [], 0.0, 0.0
        cells = np.zeros((batch, height // CELL, width // CELL, 1), np.float32)
        for top, first_row, end_row in spans(height, window[0], reach):
            for left, first, end in spans(width, window[1], reach):
                rows, columns = (slice(a // CELL, b // CELL) for a, b in ((first_row, end_row), (first, end)))
                in_image = np.s_[:, rows, columns]
                up, back = top // CELL, left // CELL
                in_tile = np.s_[
                    :, rows.start - up : rows.stop - up, columns.start - back : columns.stop - back
                ]
                mask = np.zeros((1, window[0] // CELL, window[1] // CELL, 1), np.float32)
                mask[in_tile] = 1
                tile = (x[:, top : top + window[0], left : left + window[1]] for x in (image, roi))
                tile_outputs, inside, features = map(np.asarray, self._back_end(variables, *tile, mask))
                outputs = outputs or [
                    np.zeros((*cells.shape[:3], x.shape[-1]), x.dtype) for x in tile_outputs
                ]
                for whole, part in zip(outputs, tile_outputs, strict=True):
                    whole[in_image] = part[in_tile]
                cells[in_image] = inside[in_tile]
                total, number = total + features, number + (inside * mask).sum((1, 2))
        return outputs, cells, total / np.maximum(number, 1)

    def _run_back_end(self, variables, image, roi, mask_1xhxwx1):
        """Return the back end's output [S,B,h,w,C] of a tile, the ROI per cell [B,h,w,1], and the sum [B,C] of the
        encoder's features over the cells that are inside both the ROI and the mask."""
        model = self._network.model.clone(apply_density_head=False)
        drawn = self._network.uncertainty.draw(model, variables, image, roi, jax.random.key(0), train=False)
        cells = layers.roi_pyramid(roi)[CELL]
        features = drawn["features"].astype(jnp.float32).mean(0)
        return drawn["density"], cells, (features * cells * mask_1xhxwx1).sum((1, 2))

    def _people(self, variables, x_BxhxwxC: np.ndarray, cells_Bxhxwx1: np.ndarray) -> np.ndarray:
        """Return the people per cell [B,h,w] of one sample from the back end's output, which is overwritten."""
        for name, axis in (
            (("down_up", 1), ("left_right", 2)) if self._network.model.spatial_kernel_size else ()
        ):
            x, cells = (y.swapaxes(1, axis) for y in (x_BxhxwxC, cells_Bxhxwx1))  # views
            blocks = _row_blocks(x.shape[1])
            for upwards in (False, True):
                carry = np.zeros_like(x[:, 0]), np.zeros_like(cells[:, 0], x.dtype)
                for block in reversed(blocks) if upwards else blocks:
                    x[block], carry = self._hand_on(variables, name, upwards, x[block], cells[block], carry)
        blocks = _row_blocks(x_BxhxwxC.shape[1])
        parts = [self._density_head(variables, x_BxhxwxC[block], cells_Bxhxwx1[block]) for block in blocks]
        return np.concatenate(parts, 1)

    def _run_density_head(self, variables, x, cells):
        density = self._network.model.apply(variables, x, cells, method="density_head")
        return people_per_cell(density[..., 0], self._network.label_scale)


def _row_blocks(rows: int) -> list[tuple[slice, slice]]:
    """Indices of blocks of `_ROWS` rows of an array [B,h,...] with h = `rows`."""
    return [np.s_[:, start : start + _ROWS] for start in range(0, rows, _ROWS)]
