"""A card of models of one's own: what a landscape says about them, on one page, within a few minutes.

    card = wedges.card(["a.keras", "b.keras"], "mine.npz")
    card.results["curvature-1"]["top"]                 # the same numbers as on the page
    python -m wedges card a.keras b.keras --data=mine.npz     # in a shell

What it is; loss and accuracy; is it flat; how it looks; and between several checkpoints: the line, the
mean with a verdict on averaging, a trained curve, likeness, phase and diagnosis. Sections are kept as
they are done, so that a card that was killed goes on, and sizes follow from a budget of time.

    given, reading       what is asked for, and examples: checked before TensorFlow is started
    models, losses       files -> models, a loss
    definition           what losses and code of a user's compute, for the key of a card
    subject              their landscapes
    budget               how long a pass takes, and what fits
    fit, flat, look, between, curve, phase   the sections, each a function of a subject and of seconds
    judging              may models be averaged, and how sure is that
    kept, page, drawing, words           sections on disk, and as people read them
    contents, make, entry       which sections there are; all of them, one after another; in one call
"""

from wedges.cards.entry import Card as Card
from wedges.cards.entry import card as card

__all__ = ["Card", "card"]
