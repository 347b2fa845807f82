"""What cards are about, without a card."""

from wedges.cards import losses, reading
from wedges.cards.subject import Subject


def subject_of(models, data, **settings):
    """A subject as the card makes it, its passes timed."""
    found = reading.data_of(data, "data", examples=None, seed=0)
    names = [f"model {k}" for k in range(len(models))]
    chosen = losses.loss_of(models[0], found, None)
    made = Subject(names, models, found, settings.get("held_out"), chosen, seed=0)
    made.measure()
    return made
