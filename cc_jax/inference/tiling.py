"""Images too large for one program: counted in tiles, to the same count as in one piece.

Encoder and back end are convolutions, which see no farther than `model.reach` pixels: a tile that is that much larger on
each side than what it stands for gives there what the whole image would. The spatial encoder hands rows from one end of
the image to the other; it runs over the whole at an eighth of the size, some rows at a time.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from cc_jax.models.parts import layers
from cc_jax.units import CELL, people_per_cell

NEVER_CUT = 2**20  # pixels; how much memory such an image takes is not asked
_PROBE = 512  # pixels; side of the image that is asked about
_ROWS = 64  # cells; as many rows go through the spatial encoder at a time

Size = tuple[int, int]  # (height, width) in pixels
Span = tuple[int, int, int]  # begin of a tile, begin of what it stands for, end of that; in pixels


def make_sampler(network, whole: Callable, memory_gib: float) -> Callable:
    """`whole` for the images that it fits into memory, and its equal for those that it does not.

    Args:
      network: `build.CountingNetwork`.
      whole: jitted `sample(variables, image [B,H,W,3], roi [B,H,W,1]) -> (people per cell [S,B,h,w], embedding [B,C])`.
      memory_gib: GiB of a device that what the network computes on the way may take. The image and the program come on
        top, and on the host the back end's output at an eighth of the size (`sfcn`, `lite`: 4 bytes a pixel and sample).
    """
    tiles = Tiles(network)
    pixels: list[int] = []  # that a device may work on at once, once that has been asked

    def sample(variables, image, roi):
        batch = image.shape[0] // (len(image.sharding.device_set) if isinstance(image, jax.Array) else 1)
        area = batch * image.shape[1] * image.shape[2]
        if area > NEVER_CUT and not pixels:
            pixels.append(int(memory_gib * 2**30 / bytes_a_pixel(whole, variables)))
        if area <= NEVER_CUT or area <= pixels[0]:
            return whole(variables, image, roi)
        # Half: what is kept of the tiles takes memory too.
        window = window_of(image.shape[1:3], pixels[0] // 2 // batch, network.model.reach)
        return tiles.sample(variables, image, roi, window)

    return sample


def bytes_a_pixel(whole: Callable, variables) -> float:
    """What the program `whole` takes of a device's memory on the way, for each pixel of its image: the compiler's word."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), variables)
    image, roi = (jax.ShapeDtypeStruct((1, _PROBE, _PROBE, c), jnp.uint8) for c in (3, 1))
    return whole.lower(shapes, image, roi).compile().memory_analysis().temp_size_in_bytes / _PROBE**2


def window_of(size: Size, pixels: int, reach: int) -> Size:
    """Height and width of the tiles of at most `pixels` pixels that see an image of that size in the fewest pixels in all.

    At least `4 * reach` where the image has that many, though there be more pixels then: of smaller ones most would be seen
    in vain.
    """
    choices = list(itertools.product(*(list(_windows(-(-side // CELL) * CELL, reach)) for side in size)))
    fitting = [(rows, columns) for rows, columns in choices if rows[1] * columns[1] <= pixels]
    rows, columns = min(fitting or choices[-1:], key=lambda two: math.prod((*two[0], *two[1])))
    return rows[1], columns[1]


def _windows(side: int, reach: int) -> Iterator[tuple[int, int]]:
    """(number of tiles along a side, pixels of each), so that the last one is as full as the others."""
    yield 1, side
    for number in itertools.count(2):
        window = max(4 * reach, -(-(side - 2 * reach) // (CELL * number)) * CELL + 2 * reach)
        if window >= side:
            return
        yield number, window
        if window == 4 * reach:
            return


def spans(size: int, window: int, reach: int) -> Iterator[Span]:
    """Tiles of `window` pixels that together stand for each of `size` pixels once.

    What a tile stands for stays `reach` away from the tile's ends, but where these are the image's own.
    """
    start = 0
    while start < size:
        begin = max(0, min(start - reach, size - window))
        end = size if begin + window >= size else begin + window - reach
        yield begin, start, end
        start = end


class Tiles:
    """Counts images in tiles: the programs for it, compiled once each.

    Args:
      network: `build.CountingNetwork`.
    """

    def __init__(self, network):
        self._network = network
        self._see = jax.jit(self._seen)
        self._hand_on = jax.jit(
            functools.partial(network.model.apply, method="hand_on"), static_argnums=(1, 2)
        )
        self._last = jax.jit(self._people)

    def sample(self, variables, image, roi, window: Size):
        """What `whole` of `make_sampler` gives, as arrays of the host, seen through tiles of that (height, width)."""
        image, roi = (
            layers.pad_to_multiple(x, CELL) if any(n % CELL for n in x.shape[1:3]) else x
            for x in (image, roi)
        )
        kept, cells, embedding = self._features(variables, image, roi, window)
        member = self._network.uncertainty.member
        people = [self._finished(member(variables, s), x, cells) for s, x in enumerate(kept)]
        return np.stack(people), embedding

    def _features(self, variables, image, roi, window: Size):
        """(the back end's output [B,h,w,C] of each sample, the ROI's level 8 [B,h,w,1], embedding [B,C])."""
        batch, height, width, _ = image.shape
        reach = self._network.model.reach
        kept, total, number = [], 0.0, 0.0
        cells = np.zeros((batch, height // CELL, width // CELL, 1), np.float32)
        for top, first_row, end_row in spans(height, window[0], reach):
            for left, first, end in spans(width, window[1], reach):
                rows, columns = (slice(a // CELL, b // CELL) for a, b in ((first_row, end_row), (first, end)))
                here = np.s_[:, rows, columns]
                up, back = top // CELL, left // CELL
                own = np.s_[:, rows.start - up : rows.stop - up, columns.start - back : columns.stop - back]
                mask = np.zeros((1, window[0] // CELL, window[1] // CELL, 1), np.float32)
                mask[own] = 1
                tile = (x[:, top : top + window[0], left : left + window[1]] for x in (image, roi))
                seen, inside, features = map(np.asarray, self._see(variables, *tile, mask))
                kept = kept or [np.zeros((*cells.shape[:3], x.shape[-1]), x.dtype) for x in seen]
                for whole, x in zip(kept, seen, strict=True):
                    whole[here] = x[own]
                cells[here] = inside[own]
                total, number = total + features, number + (inside * mask).sum((1, 2))
        return kept, cells, total / np.maximum(number, 1)

    def _seen(self, variables, image, roi, mask_1xhxwx1):
        """(back end's output [S,B,h,w,C], the ROI's level 8 [B,h,w,1], sum of the encoder's features in both it and the mask
        [B,C])."""
        model = self._network.model.clone(apply_density_head=False)
        drawn = self._network.uncertainty.draw(model, variables, image, roi, jax.random.key(0), train=False)
        cells = layers.roi_pyramid(roi)[CELL]
        features = drawn["features"].astype(jnp.float32).mean(0)
        return drawn["density"], cells, (features * cells * mask_1xhxwx1).sum((1, 2))

    def _finished(self, variables, x_BxhxwxC: np.ndarray, cells_Bxhxwx1: np.ndarray) -> np.ndarray:
        """People per cell [B,h,w] of one sample; `x_BxhxwxC` is overwritten."""
        for name, axis in (
            (("down_up", 1), ("left_right", 2)) if self._network.model.spatial_kernel_size else ()
        ):
            x, cells = (y.swapaxes(1, axis) for y in (x_BxhxwxC, cells_Bxhxwx1))  # views
            blocks = [np.s_[:, start : start + _ROWS] for start in range(0, x.shape[1], _ROWS)]
            for upwards in (False, True):
                carry = np.zeros_like(x[:, 0]), np.zeros_like(cells[:, 0], x.dtype)
                for block in reversed(blocks) if upwards else blocks:
                    x[block], carry = self._hand_on(variables, name, upwards, x[block], cells[block], carry)
        rows = range(0, x_BxhxwxC.shape[1], _ROWS)
        parts = [np.s_[:, start : start + _ROWS] for start in rows]
        return np.concatenate([self._last(variables, x_BxhxwxC[p], cells_Bxhxwx1[p]) for p in parts], 1)

    def _people(self, variables, x, cells):
        density = self._network.model.apply(variables, x, cells, method="density_head")
        return people_per_cell(density[..., 0], self._network.label_scale)
