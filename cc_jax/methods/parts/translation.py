"""Shared by the methods that make the labelled source look like the target: a cycle-consistent translator.

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
    """Base class of methods with a translator: two generators and two discriminators ("critics"), one of each a domain.

    Attributes:
      translate_steps: Steps that train the translator alone, before the counter's. They do not count towards
        config.steps. The paper of Cycle-GAN trains for 200 epochs.
      translate_batch: Crops of each domain in a step of the translator.
      translate_crop: Side, in pixels, of the square at a random place of each crop that the translator is trained on; 256
        in the paper. Smaller crops are used whole.
      width: Channels of the generators' first layer; 64 in the paper.
      blocks: Residual blocks of the generators; 9 in the paper.
      critic_width: Channels of the discriminators' first layer; 64 in the paper.
      cycle_weight: Weight of the distance between an image and its translation there and back.
      identity_weight: Weight of the distance between an image and its translation to its own domain, relative to
        cycle_weight.
      pool: Number of earlier translations that are kept for the discriminators, which see one of them half of the time
        (Shrivastava et al., CVPR 2017).
      translate_rate: Learning rate of Adam for all four networks. Constant in the first half of the translator's steps,
        then it decays linearly to 0.
    """

    translate_steps: int = 400
    translate_batch: int = 1
    translate_crop: int = 256
    width: int = 64
    blocks: int = 9
    critic_width: int = 64
    cycle_weight: float = 10.0
    identity_weight: float = 0.5
    pool: int = 50
    translate_rate: float = 2e-4

    def __post_init__(self):
        for name in ("translate_batch", "width", "critic_width", "pool"):
            if getattr(self, name) < 1:
                raise ConfigError(f"config.method: {name}={getattr(self, name)}: must be at least 1")
        if self.translate_crop % CELL or self.translate_crop < 32:
            raise ConfigError(
                f"config.method: translate_crop={self.translate_crop}: must be a multiple of {CELL}, at least 32"
            )

    def networks(self, model, crop: int, key: jax.Array) -> base.Networks:
        """Return both generators ("translator") and both discriminators with their pools ("critic").

        The pools are uint8 [pool, side, side, 3].
        """
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
        """Return Adam with the paper's momentum of 0.5, one for the generators and one for the discriminators."""
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
        """The generator. `params["translator"][domain]` are the parameters of the one that makes images of `domain`."""
        return gan.Generator(self.width, self.blocks)

    @property
    def discriminator(self) -> gan.Discriminator:
        """The discriminator. `params["critic"][domain]` are the parameters of the one that judges images of `domain`."""
        return gan.Discriminator(self.critic_width)

    def extra_loss(self, pairs: list[tuple[Array, Array]]) -> jax.Array:
        """Return a further loss on pairs (image, its translation there and back), in [-1, 1]; 0 here."""
        del pairs
        return jnp.float32(0)

    def translator_stage(self) -> base.Stage:
        """Return the stage that trains the translator alone, on a few plain crops: it learns what images look like."""
        return base.Stage(
            "translate", self.translate_steps, self.translate, self.labelled_source_and_target,
            counter=False, batch_size=self.translate_batch, plain=True,
        )  # fmt: skip

    def translate(self, state, batch, rng, draw):
        """Train the translator and its critics for one step."""
        del draw
        square_rng, pool_rng = jax.random.split(rng)
        squares = random_square(batch, self.translate_crop, square_rng)
        image = {d: to_unit(squares[d]["image"]) for d in DOMAINS}
        state, metrics = self.translator_step(state, image, pool_rng)
        return state, {"loss": metrics["translator_loss"], **metrics}

    def translator_step(self, state, image: dict[str, Array], rng: jax.Array, task_loss=None):
        """Train the translator, then its critics, for one step; return (state, metrics).

        Args:
          state: the train state.
          image: {domain: images in [-1, 1]}.
          rng: random key for the pools.
          task_loss: a further loss of the translations {domain: images}, which also trains the generators.
        """
        critic = functools.partial(self.realness, state.params["critic"])

        def loss(params):
            translate_to = functools.partial(self.translate_to, params)
            fake = {d: translate_to(d, image[OTHER[d]]) for d in DOMAINS}
            back = {d: translate_to(d, fake[OTHER[d]]) for d in DOMAINS}
            adversarial = sum(jnp.mean((critic(d, fake[d]) - 1) ** 2) for d in DOMAINS)
            cycle = sum(distance(back[d], image[d]) for d in DOMAINS)
            identity = sum(distance(translate_to(d, image[d]), image[d]) for d in DOMAINS)
            total = adversarial + self.cycle_weight * (cycle + self.identity_weight * identity)
            total += self.extra_loss([(image[d], back[d]) for d in DOMAINS])
            total += task_loss(fake) if task_loss else 0.0
            metrics = {"translator_loss": total, "cycle_loss": cycle, "adversarial_loss": adversarial}
            return total, (fake, metrics)

        grads, (fake, metrics) = jax.grad(loss, has_aux=True)(state.params["translator"])
        state = state.descend("translator", grads)
        state, critic_loss = self.critic_step(state, image, fake, rng)
        return state, {**metrics, "critic_loss": critic_loss}

    def critic_step(self, state, image: dict[str, Array], fake: dict[str, Array], rng: jax.Array):
        """Train the critics for one step on real images and on translations, new ones or ones from the pool.

        Returns (state, loss).
        """
        pool = state.collections["critic"]["pool"]
        shown, kept = {}, {}
        for d, key in zip(DOMAINS, jax.random.split(rng), strict=True):
            shown[d], kept[d] = from_pool(fake[d], pool[d], pool["filled"], key)

        def loss(params):
            realness = functools.partial(self.realness, params)
            losses = [
                jnp.mean((realness(d, image[d]) - 1) ** 2) + jnp.mean(realness(d, shown[d]) ** 2)
                for d in DOMAINS
            ]
            return sum(losses) / 2

        value, grads = jax.value_and_grad(loss)(state.params["critic"])
        state = state.descend("critic", grads)
        filled = jnp.minimum(pool["filled"] + len(fake["target"]), self.pool)
        collections = {**state.collections, "critic": {"pool": {**kept, "filled": filled}}}
        return state.replace(collections=collections), value

    def translate_to(self, params, domain: str, image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """Translate images in [-1, 1] to the look of `domain`."""
        # Without `mutable`, `apply` returns the output alone.
        return self.generator.apply({"params": params[domain]}, image)  # pyright: ignore[reportReturnType]

    def to_target(self, params, image: UInt8[Array, "b h w 3"]) -> UInt8[Array, "b h w 3"]:
        """Translate images in pixels to the look of the target."""
        return to_pixels(self.translate_to(params, "target", to_unit(image)))

    def realness(self, params, domain: str, image: Float[Array, "b h w 3"]) -> Float[Array, "b p q 1"]:
        """Return how much each patch looks like an image of `domain`: 1 is real, 0 is not."""
        return self.discriminator.apply({"params": params[domain]}, image)  # pyright: ignore[reportReturnType]


def random_square(batch: base.Batch, side: int, key: jax.Array) -> base.Batch:
    """Cut a square of `side` pixels, with its cells, at one random place that is the same in all crops.

    Crops that are no larger stay whole.
    """
    height = batch["source"]["image"].shape[1]
    if side >= height:
        return batch
    row, column = jax.random.randint(key, (2,), 0, (height - side) // CELL + 1) * CELL

    def cut(x: Array) -> Array:
        # Pixels along a side of one element of `x`: 1 for images, CELL for density maps.
        pixels = height // x.shape[1]
        x = jax.lax.dynamic_slice_in_dim(x, row // pixels, side // pixels, axis=1)
        return jax.lax.dynamic_slice_in_dim(x, column // pixels, side // pixels, axis=2)

    return jax.tree.map(cut, batch)


def to_unit(image: UInt8[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """Map pixels from 0 to 255 to [-1, 1]."""
    return image.astype(jnp.float32) / 127.5 - 1


def to_pixels(image: Float[Array, "*b h w 3"]) -> UInt8[Array, "*b h w 3"]:
    """Map [-1, 1] to pixels from 0 to 255, rounded: the inverse of `to_unit`."""
    return jnp.clip(jnp.round((image + 1) * 127.5), 0, 255).astype(jnp.uint8)


def distance(a: Array, b: Array) -> jax.Array:
    """Return the mean absolute difference."""
    return jnp.mean(jnp.abs(a - b))


def from_pool(
    fake: Float[Array, "b h w 3"], pool: UInt8[Array, "p h w 3"], filled: Array, key: jax.Array
) -> tuple[Float[Array, "b h w 3"], UInt8[Array, "p h w 3"]]:
    """Return (images to show to the discriminator, new pool).

    While the pool fills up, each translation is added to it and shown. Once it is full, each translation is shown with
    probability 1/2; otherwise it replaces a random image of the pool, which is shown in its place. Shrivastava et al.,
    section 2.3, as in the code of Zhu et al.
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
