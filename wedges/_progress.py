"""A progress bar for what may take more than a few seconds."""

from typing import Any

from tqdm import tqdm


def bar(**settings: Any) -> tqdm:
    """A bar that shows after two seconds and goes when it is full; nothing where nobody watches."""
    return tqdm(leave=False, delay=2, disable=None, **settings)
