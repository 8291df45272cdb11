"""What happens to crops: partners come from the videos that are trained on."""

import numpy as np

from mover_ray.pipelines.train_changes import _partners
from mover_ray.pipelines.train_config import FinetuneRun
from tests.training.made import make_corpus, usual


def bank_of(tmp_path, partners: int):
    corpus = make_corpus(tmp_path, usual(sources=6, crops=4))
    run = FinetuneRun(stage="finetune", partners=partners)
    return corpus, _partners(run, corpus)


def videos_of(corpus, bank) -> list[str]:
    """Gives the video that each partner's crop is of."""
    pixels = {
        corpus.pixels(i).tobytes(): corpus.videos["uri"][int(corpus.crops["video"][i])].as_py()
        for i in range(len(corpus.crops))
    }
    return [pixels[crop.tobytes()] for crop, _ in bank._faces]


def test_partners_are_real_faces_of_training_videos_each_once_at_first(tmp_path):
    corpus, bank = bank_of(tmp_path, 4)
    train = {f"/archive/r{number}.mp4" for number in range(4)}
    found = videos_of(corpus, bank)
    assert set(found) == train
    assert len(found) == 4


def test_where_there_are_few_videos_each_gives_more(tmp_path):
    corpus, bank = bank_of(tmp_path, 10)
    counts = np.unique(videos_of(corpus, bank), return_counts=True)[1]
    assert sorted(counts.tolist()) == [2, 2, 3, 3]


def test_without_partners_there_is_no_bank(tmp_path):
    assert bank_of(tmp_path, 0)[1] is None
