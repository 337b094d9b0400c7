"""What the methods share that make the labelled source look like the target: a cycle-consistent translator.

Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (ICCV 2017), sections 3 and 4.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, UInt8

from cc_jax.errors import ConfigError
from cc_jax.methods import base
from cc_jax.methods.parts import gan
from cc_jax.units import CELL

DOMAINS = ("source", "target")
OTHER = {"source": "target", "target": "source"}


@dataclasses.dataclass(frozen=True)
class Translation(base.Method):
    """Fields, beside those of every method:

    translate_steps: steps of the translator alone, before the counter's.
    translate_batch: crops of each domain in a step of it.
    translate_crop: pixels a side of the part of a crop, at a random place, that it is shown (256 in the paper); at most.
    width, blocks: of the generators (64 and 9 in the paper).
    critic_width: of the discriminators (64).
    cycle_weight: of an image's distance to itself after there and back.
    identity_weight: of its distance to itself after a translation to its own domain, relative to `cycle_weight`.
    pool: earlier translations that the discriminators are shown again half of the time (Shrivastava et al., CVPR 2017).
    translate_rate: Adam's learning rate; constant for the first half of the translator's steps, then falling to 0.
    """

    translate_steps: int
    translate_batch: int
    translate_crop: int
    width: int
    blocks: int
    critic_width: int
    cycle_weight: float
    identity_weight: float
    pool: int
    translate_rate: float

    def __post_init__(self):
        for name in ("translate_batch", "width", "critic_width", "pool"):
            if getattr(self, name) < 1:
                raise ConfigError(f"config.method: {name}={getattr(self, name)}: it is at least 1")
        if self.translate_crop % CELL or self.translate_crop < 32:
            raise ConfigError(
                f"config.method: translate_crop={self.translate_crop}: a multiple of {CELL}, at least 32"
            )

    def networks(self, model, crop: int, key: jax.Array) -> base.Networks:
        """Both generators, both discriminators with their pools of uint8 [pool, side, side, 3]."""
        side = min(crop, self.translate_crop)
        image = jnp.zeros((1, side, side, 3))
        params = {}
        for which, module in (("translator", self.generator), ("critic", self.discriminator)):
            key, *own = jax.random.split(key, 3)
            params[which] = {d: module.init(k, image)["params"] for d, k in zip(DOMAINS, own, strict=True)}
        empty = {d: jnp.zeros((self.pool, side, side, 3), jnp.uint8) for d in DOMAINS}
        return {
            "translator": (params["translator"], {}),
            "critic": (params["critic"], {"pool": {**empty, "filled": jnp.int32(0)}}),
        }

    def optimizers(self) -> dict[str, optax.GradientTransformation]:
        """Adam with the paper's momentum of 0.5, one for the generators and one for the discriminators."""
        half = max(self.translator_steps // 2, 1)
        rate = optax.join_schedules(
            [
                optax.constant_schedule(self.translate_rate),
                optax.linear_schedule(self.translate_rate, 0.0, half),
            ],
            [half],
        )
        return dict.fromkeys(("translator", "critic"), optax.adam(rate, b1=0.5, b2=0.999))

    @property
    def translator_steps(self) -> int:
        """Steps in which the translator learns."""
        return self.translate_steps

    @property
    def generator(self) -> gan.Generator:
        """`params["translator"][domain]` are those of the generator that makes images of that domain."""
        return gan.Generator(self.width, self.blocks)

    @property
    def discriminator(self) -> gan.Discriminator:
        """`params["critic"][domain]` are those of the discriminator of that domain."""
        return gan.Discriminator(self.critic_width)

    def beside(self, pairs: list[tuple[Array, Array]]) -> jax.Array:
        """A further loss on (image, image after there and back), which come in [-1, 1]; none here."""
        del pairs
        return jnp.float32(0)

    def translate(self, state, batch, rng, draw):
        """A step of the translator and of its critics."""
        del draw
        part_rng, pool_rng = jax.random.split(rng)
        parts = part(batch, self.translate_crop, part_rng)
        image = {d: to_unit(parts[d]["image"]) for d in DOMAINS}
        state, _, metrics = self.descend_translator(state, image, pool_rng)
        return state, {"loss": metrics["translator_loss"], **metrics}

    def descend_translator(self, state, image: dict[str, Array], rng: jax.Array, task=None):
        """(state, {domain: images translated to it}, metrics) after a step on images in [-1, 1] of both domains.

        Args:
          task: a further loss of the translations {domain: images}, which trains the generators too.
        """
        critic = functools.partial(self.judge, state.params["critic"])

        def loss(params):
            make = functools.partial(self.make, params)
            fake = {d: make(d, image[OTHER[d]]) for d in DOMAINS}
            back = {d: make(d, fake[OTHER[d]]) for d in DOMAINS}
            adversarial = sum(jnp.mean((critic(d, fake[d]) - 1) ** 2) for d in DOMAINS)
            cycle = sum(distance(back[d], image[d]) for d in DOMAINS)
            identity = sum(distance(make(d, image[d]), image[d]) for d in DOMAINS)
            total = adversarial + self.cycle_weight * (cycle + self.identity_weight * identity)
            total += self.beside([(image[d], back[d]) for d in DOMAINS])
            total += task(fake) if task else 0.0
            return total, (
                fake,
                {"translator_loss": total, "cycle_loss": cycle, "adversarial_loss": adversarial},
            )

        grads, (fake, metrics) = jax.grad(loss, has_aux=True)(state.params["translator"])
        state = state.descend("translator", grads)
        state, critic_loss = self.descend_critic(state, image, fake, rng)
        return state, fake, {**metrics, "critic_loss": critic_loss}

    def descend_critic(self, state, image: dict[str, Array], fake: dict[str, Array], rng: jax.Array):
        """(state, loss) after a step of the critics on real images and on translations, of now or from the pool."""
        pool = state.collections["critic"]["pool"]
        shown, kept = {}, {}
        for d, key in zip(DOMAINS, jax.random.split(rng), strict=True):
            shown[d], kept[d] = from_pool(fake[d], pool[d], pool["filled"], key)

        def loss(params):
            judge = functools.partial(self.judge, params)
            return (
                sum(
                    jnp.mean((judge(d, image[d]) - 1) ** 2) + jnp.mean(judge(d, shown[d]) ** 2)
                    for d in DOMAINS
                )
                / 2
            )

        value, grads = jax.value_and_grad(loss)(state.params["critic"])
        state = state.descend("critic", grads)
        filled = jnp.minimum(pool["filled"] + len(fake["target"]), self.pool)
        collections = {**state.collections, "critic": {"pool": {**kept, "filled": filled}}}
        return state.replace(collections=collections), value

    def make(self, params, domain: str, image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """Images translated to the domain, in [-1, 1]."""
        return self.generator.apply({"params": params[domain]}, image)

    def to_target(self, params, image: UInt8[Array, "b h w 3"]) -> UInt8[Array, "b h w 3"]:
        """Images in pixels, translated to the target's look."""
        return to_pixels(self.make(params, "target", to_unit(image)))

    def judge(self, params, domain: str, image: Float[Array, "b h w 3"]) -> Float[Array, "b p q 1"]:
        """How much each patch looks like one of the domain: 1 real, 0 not."""
        return self.discriminator.apply({"params": params[domain]}, image)

    def first_stage(self) -> base.Stage:
        """The translator alone, on few plain crops at a time: what they look like is what is learnt."""
        return base.Stage(
            "translate", self.translate_steps, self.translate, self.labelled_source_and_target,
            counter=False, batch_size=self.translate_batch, plain=True,
        )  # fmt: skip


def part(batch: base.Batch, side: int, key: jax.Array) -> base.Batch:
    """The square of `side` pixels at one random place of all crops, with its cells of 8x8 pixels; all of smaller crops."""
    height = batch["source"]["image"].shape[1]
    if side >= height:
        return batch
    row, column = jax.random.randint(key, (2,), 0, (height - side) // CELL + 1) * CELL

    def cut(x: Array) -> Array:
        pixels = height // x.shape[1]  # of an image's pixel or of a cell
        x = jax.lax.dynamic_slice_in_dim(x, row // pixels, side // pixels, axis=1)
        return jax.lax.dynamic_slice_in_dim(x, column // pixels, side // pixels, axis=2)

    return jax.tree.map(cut, batch)


def to_unit(image: UInt8[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Pixels 0 to 255 to [-1, 1]."""
    return image.astype(jnp.float32) / 127.5 - 1


def to_pixels(image: Float[Array, "b h w 3"]) -> UInt8[Array, "b h w 3"]:
    """The inverse of `to_unit`, rounded."""
    return jnp.clip(jnp.round((image + 1) * 127.5), 0, 255).astype(jnp.uint8)


def distance(a: Array, b: Array) -> jax.Array:
    """Mean absolute difference."""
    return jnp.mean(jnp.abs(a - b))


def from_pool(
    fake: Float[Array, "b h w 3"], pool: UInt8[Array, "p h w 3"], filled: Array, key: jax.Array
) -> tuple[Float[Array, "b h w 3"], UInt8[Array, "p h w 3"]]:
    """(images to show the discriminator, pool), as Shrivastava et al., section 2.3, and the code of Zhu et al.

    Until the pool is full each image goes in and is shown; then half of them are shown, and of the others each takes the
    place of one that it has at random, which is shown instead.
    """
    place_key, swap_key = jax.random.split(key)
    size, batch = len(pool), len(fake)
    swap = jax.random.bernoulli(swap_key, 0.5, (batch,))
    random_place = jax.random.randint(place_key, (batch,), 0, size)
    shown = []
    for b in range(batch):
        growing = filled + b < size
        place = jnp.where(growing, (filled + b) % size, random_place[b])
        old = to_unit(pool[place])
        taken = growing | swap[b]
        shown.append(jnp.where(~growing & swap[b], old, fake[b]))
        pool = pool.at[place].set(jnp.where(taken, to_pixels(fake[b]), pool[place]))
    return jax.lax.stop_gradient(jnp.stack(shown)), pool
