"""Looks of composed crowds: which places, lights and cameras a series of scenes shows, and what took its pictures.

`any` shows all there is; it is for counters of photographs. `source` and `target` are a pair for trying out adaptation: as
many people, whose heads are about as large, but other surroundings and another camera. What a counter learns from one has
to be adapted to the other.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Look:
    """What the scenes of a series have in common. Pairs are the least and the largest value.

    Attributes:
      stream: first number of the seeds, so that no two looks share a scene.
      places: names of the places in `surroundings.PLACES`, or "panorama"; one that stands twice is twice as frequent.
      lights: names of the lights in `surroundings.LIGHTS`.
      things: what may stand about, of `surroundings.THINGS`.
      camera: height of the camera in metres.
      lens: focal length, where the width of the image is 1.
      ahead: how far ahead the camera looks, where its height is 1; six metres are added. None if `last_row` says it.
      last_row: where the farthest people stand in the image: 0 is its upper edge, 1 the lower one. The camera is tilted,
        and held low enough, for that. None if `ahead` says it.
      overhead_share: share of the scenes seen nearly from straight above.
      smallest_head: size of the heads of those who stand farthest away, in pixels.
      rows: height of the images for which `smallest_head` is meant; in others it grows and shrinks with them. None
        takes it as it is in images of every height.
      empty_share: share of the scenes that show nobody.
      packed_share: share of the scenes that a packed crowd fills; in a stand, people sit in its rows.
      level_share: share of the packed crowds that are seen from the height of their heads, or little above. The others
        are seen from well above.
      people: for how many people there is room at most, drawn for each scene; None leaves it to the place.
      exposure: mean grey level of the images, except at night and in a stage's light.
      photographed: whether a simulated camera (`optics`) takes the picture. Otherwise it is as clean as a render.
    """

    stream: int
    places: tuple[str, ...]
    lights: tuple[str, ...]
    things: tuple[str, ...]
    camera: tuple[float, float]
    lens: tuple[float, float]
    ahead: tuple[float, float] | None
    last_row: tuple[float, float] | None
    overhead_share: float
    smallest_head: tuple[float, float]
    rows: int | None
    empty_share: float
    packed_share: float
    level_share: float
    people: tuple[int, int] | None
    exposure: tuple[int, int]
    photographed: bool


LOOKS = {
    "any": Look(
        stream=3,
        places=("street", "square", "field", "beach", "market", "hall", "station", "stand", "panorama", "panorama"),
        lights=("overcast", "sun", "haze", "night", "stage", "indoors"),
        things=("pole", "sign", "tree", "car", "barrier", "flag", "hedge", "goods", "board", "stall", "parasol"),
        camera=(1.6, 28.0),
        lens=(0.65, 2.6),
        ahead=None,
        last_row=(-0.15, 0.45),
        overhead_share=0.08,
        smallest_head=(4.5, 13.0),
        rows=None,
        empty_share=0.2,
        packed_share=0.3,
        level_share=0.4,
        people=None,
        exposure=(65, 150),
        photographed=False,
    ),
    "source": Look(
        stream=4,
        places=("square", "field", "beach"),
        lights=("overcast", "sun", "haze"),
        things=("pole", "sign", "car", "barrier", "flag", "stall", "parasol"),
        camera=(3.0, 12.0),
        lens=(0.7, 1.4),
        ahead=(1.2, 4),
        last_row=None,
        overhead_share=0.0,
        smallest_head=(4.0, 8.0),
        rows=256,
        empty_share=0.04,
        packed_share=0.0,
        level_share=0.0,
        people=(12, 300),
        exposure=(85, 150),
        photographed=False,
    ),
    "target": Look(
        stream=5,
        places=("panorama",),
        lights=("overcast",),
        things=(),
        camera=(2.2, 6.0),
        lens=(0.6, 1.0),
        ahead=(1.2, 5),
        last_row=None,
        overhead_share=0.0,
        smallest_head=(4.0, 7.0),
        rows=256,
        empty_share=0.04,
        packed_share=0.0,
        level_share=0.0,
        people=(16, 400),
        exposure=(85, 150),
        photographed=True,
    ),
}  # fmt: skip
