"""What a card says between checkpoints: pictures of any number, curves, verdicts, weights of examples."""

import numpy as np
import pytest

from wedges.cards import drawing


@pytest.mark.parametrize("count", [1, 3, 4])
def test_any_number_of_checkpoints_is_drawn(count):
    """One panel each, also where a grid of two columns has one left over."""
    x = np.linspace(-1, 1, 7)
    bowl = (x[:, None] ** 2 + x**2).tolist()
    results = {}
    for k in range(count):
        name = f"model {k}"
        results[f"look-{k + 1}"] = {
            **{"checkpoint": name, "x": x.tolist(), "y": x.tolist(), "losses": bowl, "centre": 0.0}
        }
        results[f"curvature-{k + 1}"] = {
            **{"checkpoint": name, "top": [2.0, 1.0], "lowest": -0.5},
            "density": {"values": [[-0.5, 2.0]], "shares": [[0.5, 0.5]]},
        }
    found = drawing.drawn(results)
    assert set(found) == {"surface", "density"}
    assert all(png.startswith(b"\x89PNG") for _, png in found.values())
