import numpy as np
import pytest

from mover_ray.forge.landmarks import MIRRORED
from mover_ray.forge.partner_bank import PartnerBank, still
from tests.forge.samples import make_clip


def face(seed: int, turn: float = 0.0):
    """A face; `turn` slides the inner face sideways over the jaw."""
    clip = make_clip(seed)
    landmarks = clip.landmarks[0].copy()
    landmarks[17:, 0] += turn
    return clip.frames[0], landmarks


def index_of(bank: PartnerBank, found) -> int:
    return next(i for i, one in enumerate(bank._faces) if one is found)


def test_the_head_that_is_turned_alike_is_drawn():
    bank = PartnerBank([face(1, -9), face(2, 0), face(3, 9)])
    for turn, expected in ((0.5, 1), (8.0, 2)):
        found = bank.draw(face(4, turn)[1], np.random.default_rng(0))
        # A face turned the other way serves as well: it is mirrored later.
        assert index_of(bank, found) in ({expected} if expected == 1 else {0, 2})


def test_a_face_is_no_partner_of_its_own():
    own = face(1)
    assert PartnerBank([own]).draw(own[1], np.random.default_rng(0)) is None
    bank = PartnerBank([own, face(2, 20)])
    assert index_of(bank, bank.draw(own[1], np.random.default_rng(0))) == 1


def test_a_mirrored_partner_counts_by_its_better_view():
    crop, landmarks = face(1, 12)
    mirrored = landmarks[MIRRORED].copy()
    mirrored[:, 0] = crop.shape[1] - 1 - mirrored[:, 0]
    bank = PartnerBank([(crop[:, ::-1], mirrored), face(2, 0)])
    assert index_of(bank, bank.draw(landmarks, np.random.default_rng(0))) == 0


def test_few_are_looked_at_and_chance_decides_which():
    bank = PartnerBank([face(seed) for seed in range(8)], candidates=1)
    target = face(9)[1]
    rng = np.random.default_rng(0)
    drawn = {index_of(bank, bank.draw(target, rng)) for _ in range(60)}
    assert len(drawn) == 8


def test_an_empty_bank_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        PartnerBank([])


def test_a_still_is_a_clip_of_one_frame():
    crop, landmarks = face(0)
    clip = still((crop, landmarks))
    assert len(clip) == 1
    assert np.array_equal(clip.frames[0], crop)
