"""The paper's results (Liu, Durasov and Fua, CVPR 2022), from the tables of its project page."""

from cc_jax.report.tables import DIFFERENCE, METRICS, Row

# {target: {method: (MAE, RMSE)}}, trained on GCC with SFCN. WorldExpo'10 has a mean MAE over its five scenes and no RMSE.
PUBLISHED: dict[str, dict[str, tuple[float, float | None]]] = {
    "shanghaitech/part_a": {
        "no_adapt": (160.0, 216.5),
        "cycle_gan": (143.3, 204.3),
        "se_cycle_gan": (123.4, 193.4),
        "se_cycle_gan_jt": (119.6, 189.1),
        "se_fd": (129.3, 187.6),
        "gp": (121.0, 181.0),
        "ours": (109.2, 168.1),
        "supervised": (76.3, 144.2),
    },
    "shanghaitech/part_b": {
        "no_adapt": (22.8, 30.6),
        "cycle_gan": (25.4, 39.7),
        "se_cycle_gan": (19.9, 28.3),
        "se_cycle_gan_jt": (16.4, 25.8),
        "se_fd": (16.9, 24.7),
        "gp": (12.8, 19.2),
        "ours": (11.4, 17.3),
        "supervised": (11.0, 17.1),
    },
    "ucf_cc_50": {
        "no_adapt": (487.2, 689.0),
        "cycle_gan": (404.6, 548.2),
        "se_cycle_gan": (373.4, 528.8),
        "se_cycle_gan_jt": (370.2, 512.0),
        "gp": (355.0, 505.0),
        "ours": (336.5, 486.1),
        "supervised": (259.3, 407.2),
    },
    "ucf_qnrf": {
        "no_adapt": (275.5, 458.5),
        "cycle_gan": (257.3, 400.6),
        "se_cycle_gan": (230.4, 384.5),
        "se_cycle_gan_jt": (225.9, 385.7),
        "se_fd": (221.2, 390.2),
        "gp": (210.0, 351.0),
        "ours": (198.3, 332.9),
        # The page repeats the figures of OURS for Supervised, probably by mistake: left out.
    },
    "worldexpo10": {
        "no_adapt": (42.8, None),
        "cycle_gan": (32.4, None),
        "se_cycle_gan": (26.3, None),
        "se_cycle_gan_jt": (24.4, None),
        "gp": (20.4, None),
        "ours": (16.6, None),
        "supervised": (11.2, None),
    },
}


def published_figures(row: Row) -> tuple[float | None, float | None]:
    """Return (MAE, RMSE) that the paper has for the row's method from GCC to the row's target, or None for each."""
    if not str(row["source"]).startswith("gcc/") or row["variant"]:
        return None, None
    return PUBLISHED.get(str(row["target"]), {}).get(str(row["method"]), (None, None))


def with_published(summaries: list[Row], remarks: list[str]) -> tuple[list[Row], list[str]]:
    """Append the paper's rows for the same targets to those of `tables.table`, and a remark on where they come from."""
    targets = sorted({str(row["target"]) for row in summaries} & set(PUBLISHED))
    added = [_published_row(target, method) for target in targets for method in PUBLISHED[target]]
    remark = (
        "The rows with 'published' as their uncertainty are the paper's, trained on GCC with SFCN."
        if added
        else "The paper has no figures for this target."
    )
    return summaries + added, [*remarks, remark]


def _published_row(target: str, method: str) -> Row:
    """Return a row shaped like those of `tables.table`."""
    mae, rmse = PUBLISHED[target][method]
    group = {
        "method": method,
        "variant": "",
        "uncertainty": "published",
        "model": "sfcn",
        "source": "gcc",
        "target": target,
        "split": "test",
    }
    unknown = dict.fromkeys(("images", "step", "interval_level", "interval_kind", "n"))
    empty = {key: None for name in (*METRICS, DIFFERENCE) for key in (name, f"{name}_std")}
    return {**group, **unknown, **empty, "mae": mae, "rmse": rmse}
