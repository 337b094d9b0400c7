"""Drawn scenes for tests that only need some: kept in the tests' cache, because drawing takes longer than most tests."""

import os
import pickle
from collections.abc import Callable
from typing import Any

from conftest import SCENES

from cc_jax.data.scenes import crowds


def drawn(
    number: int, seed: int, *, render: Callable[..., Any] = crowds.render, **arguments: Any
) -> list[Any]:
    """Return `[render(seed, index, **arguments) for index in range(number)]`, from the cache if it is there.

    Tests of the drawing itself that change a part of it call `render`.
    """
    words = [render.__module__, seed, number, *(f"{name}={value}" for name, value in arguments.items())]
    path = SCENES / ("_".join(map(str, words)) + ".pickle")
    if path.exists():
        return pickle.loads(path.read_bytes())
    made = [render(seed, index, **arguments) for index in range(number)]
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(f".{os.getpid()}")
    written.write_bytes(pickle.dumps(made))
    written.replace(path)  # at once, because workers share the folder
    return made
