import pytest

from mover_ray.datasets import manifest
from mover_ray.datasets.catalog import READERS, find_reader, read_dataset
from mover_ray.errors import ConfigError, LocationError
from mover_ray.schemas import MANIFEST
from tests.datasets import trees

PAIRS = {"train": [("071", "054")], "val": [("720", "672")], "test": [("953", "974")]}


@pytest.fixture(params=["disk", "memory"])
def root(request, tmp_path):
    return str(tmp_path / "corpus") if request.param == "disk" else "memory://archive/corpus"


def rows(corpus):
    """Rows of the manifest by the end of their uri."""
    table = corpus.table()
    assert table.schema.equals(MANIFEST)
    manifest.check_unique(table)
    return {row["uri"].partition("corpus/")[2]: row for row in table.to_pylist()}


def found(corpus):
    return {
        (count.expected.split, count.expected.label, count.expected.method): count.found
        for count in corpus.counts()
    }


def test_every_reader_of_the_catalog_can_be_loaded():
    for name in READERS:
        assert callable(find_reader(name))


def test_an_unknown_dataset_gets_a_suggestion():
    with pytest.raises(ConfigError, match="faceforensic") as caught:
        read_dataset("faceforensic", "/nowhere")
    assert caught.value.hint == "did you mean `faceforensics`?"


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(LocationError):
        read_dataset("dfdc", str(tmp_path / "nothing"))


@pytest.mark.parametrize("name", sorted(READERS))
def test_another_tree_is_refused_with_a_hint(name, tmp_path):
    trees.plant(str(tmp_path), trees.videos("holiday/beach.mp4"))
    with pytest.raises(ConfigError) as caught:
        read_dataset(name, str(tmp_path))
    assert caught.value.hint


def test_faceforensics(root):
    trees.plant(root, trees.faceforensics(PAIRS))
    corpus = read_dataset("faceforensics", root)
    table = rows(corpus)
    assert len(table) == 12
    fake = table["manipulated_sequences/Deepfakes/c23/videos/071_054.mp4"]
    assert fake["label"] == "fake"
    assert fake["method"] == "Deepfakes"
    assert fake["split"] == "train"
    assert fake["identity"] == "youtube/071+youtube/054"
    assert fake["source_id"] == "youtube/071"
    assert fake["pair_uri"].endswith("original_sequences/youtube/c23/videos/071.mp4")
    assert fake["mask_uri"].endswith("Deepfakes/masks/videos/071_054.mp4")
    turned = table["manipulated_sequences/Deepfakes/c23/videos/974_953.mp4"]
    assert (turned["split"], turned["source_id"]) == ("test", "youtube/974")
    real = table["original_sequences/youtube/c23/videos/720.mp4"]
    assert (real["label"], real["split"], real["method"]) == ("real", "val", None)
    assert real["source_id"] == "youtube/720"
    assert real["dataset"] == "faceforensics-c23"
    assert found(corpus)["test", "fake", "Deepfakes"] == 2


def test_faceforensics_has_the_counts_of_the_official_splits(root):
    sizes = {"train": 360, "val": 70, "test": 70}
    ids = iter(range(1000))
    pairs = {
        split: [(f"{next(ids):03d}", f"{next(ids):03d}") for _ in range(size)]
        for split, size in sizes.items()
    }
    trees.plant(root, trees.faceforensics(pairs, methods=("Deepfakes", "FaceShifter")))
    for count in read_dataset("faceforensics", root).counts():
        assert count.promised
        assert count.found == count.expected.count


def test_a_fake_across_two_splits_belongs_to_neither(root):
    files = trees.faceforensics(PAIRS)
    odd = "manipulated_sequences/Deepfakes/c23/videos/071_953.mp4"
    trees.plant(root, {**files, **trees.videos(odd)})
    assert rows(read_dataset("faceforensics", root))[odd]["split"] is None


def test_several_compressions_need_a_choice(root):
    files = trees.faceforensics(PAIRS) | trees.faceforensics(PAIRS, c="c40")
    trees.plant(root, files)
    with pytest.raises(ConfigError, match="several compressions") as caught:
        read_dataset("faceforensics", root)
    assert caught.value.hint == "choose one with --compression"
    corpus = read_dataset("faceforensics", root, compression="c40")
    assert corpus.dataset == "faceforensics-c40"
    assert all("/c40/" in name for name in rows(corpus))
    with pytest.raises(ConfigError, match="`raw` is not there"):
        read_dataset("faceforensics", root, compression="raw")


def test_a_corpus_without_splits_or_masks_says_so(root):
    files = trees.faceforensics(PAIRS)
    bare = {name: text for name, text in files.items() if "splits/" not in name}
    trees.plant(root, {name: text for name, text in bare.items() if "/masks/" not in name})
    corpus = read_dataset("faceforensics", root)
    assert all(row["split"] is None for row in rows(corpus).values())
    assert any("no splits" in remark for remark in corpus.remarks)
    assert any("6 of 6 fakes have no mask" in remark for remark in corpus.remarks)


def test_faceforensics_as_it_lies_in_the_shared_data(data_dir):
    corpus = read_dataset("faceforensics", str(data_dir / "ffpp"))
    table = corpus.table().to_pylist()
    assert sum(row["label"] == "real" for row in table) == 6
    assert sum(row["label"] == "fake" for row in table) == 24
    assert all(row["pair_uri"] for row in table if row["label"] == "fake")


def test_dfd(root):
    real = "original_sequences/actors/c23/videos/01__exit_phone_room.mp4"
    fake = "manipulated_sequences/DeepFakeDetection/c23/videos/01_15__exit_phone_room__8DTEGQ54.mp4"
    trees.plant(root, trees.videos(real, fake) | trees.faceforensics(PAIRS))
    corpus = read_dataset("dfd", root)
    table = rows(corpus)
    assert set(table) == {real, fake}
    assert table[fake]["identity"] == "actor/01+actor/15"
    assert table[fake]["pair_uri"] == table[real]["uri"]
    assert table[fake]["source_id"] == table[real]["source_id"] == "actors/01__exit_phone_room"


CELEB = trees.videos(
    "Celeb-real/id0_0000.mp4",
    "Celeb-real/id1_0000.mp4",
    "YouTube-real/00170.mp4",
    "Celeb-synthesis/id0_id1_0000.mp4",
    "Celeb-synthesis/id1_id0_0000.mp4",
)


def test_celebdf_reads_1_as_real(root):
    listed = "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n"
    trees.plant(root, {**CELEB, "List_of_testing_videos.txt": listed})
    corpus = read_dataset("celebdf-v2", root)
    table = rows(corpus)
    assert table["YouTube-real/00170.mp4"]["label"] == "real"
    assert table["YouTube-real/00170.mp4"]["split"] == "test"
    fake = table["Celeb-synthesis/id0_id1_0000.mp4"]
    assert (fake["label"], fake["split"]) == ("fake", "test")
    assert fake["identity"] == "celeb/id0+celeb/id1"
    assert fake["pair_uri"] == table["Celeb-real/id0_0000.mp4"]["uri"]
    assert table["Celeb-real/id1_0000.mp4"]["split"] == "train"


def test_celebdf_v2_has_the_counts_of_the_official_test_list(root):
    reals = [f"YouTube-real/{n:05d}.mp4" for n in range(178)]
    fakes = [f"Celeb-synthesis/id{n}_id{n + 1}_0000.mp4" for n in range(340)]
    listed = [*(f"1 {name}" for name in reals), *(f"0 {name}" for name in fakes)]
    lists = {"List_of_testing_videos.txt": "\n".join(listed)}
    trees.plant(root, {**trees.videos(*reals, *fakes), **lists})
    by_split = {
        (count.expected.split, count.expected.label): (count.found, count.expected.count)
        for count in read_dataset("celebdf-v2", root).counts()
    }
    assert by_split["test", "real"] == (178, 178)
    assert by_split["test", "fake"] == (340, 340)
    assert by_split["train", "fake"] == (0, 5299)


def test_celebdf_says_which_listed_videos_are_missing(root):
    trees.plant(root, {**CELEB, "List_of_testing_videos.txt": "0 Celeb-synthesis/id7_id8_0001.mp4"})
    assert read_dataset("celebdf-v2", root).missing == ["Celeb-synthesis/id7_id8_0001.mp4"]


@pytest.mark.parametrize(
    ("line", "message"),
    [("0 YouTube-real/00170.mp4", "listed as fake"), ("real YouTube-real/00170.mp4", "line 1")],
)
def test_celebdf_refuses_a_list_that_contradicts_or_makes_no_sense(root, line, message):
    trees.plant(root, {**CELEB, "List_of_testing_videos.txt": line})
    with pytest.raises(ConfigError, match=message):
        read_dataset("celebdf-v2", root)


def test_celebdf_pp_takes_the_method_from_its_folders(root):
    name = "Celeb-synthesis/FaceReenact/LivePortrait/id0_id1_0000.mp4"
    trees.plant(root, {**CELEB, **trees.videos(name)})
    assert rows(read_dataset("celebdf-pp", root))[name]["method"] == "FaceReenact/LivePortrait"


def test_dfdc_takes_labels_from_metadata_only(root):
    part = {
        "aa.mp4": {"label": "REAL", "split": "train", "original": None},
        "bb.mp4": {"label": "FAKE", "split": "train", "original": "aa.mp4"},
        "gone.mp4": {"label": "FAKE", "split": "train", "original": "aa.mp4"},
    }
    names = ("dfdc_train_part_0/aa.mp4", "dfdc_train_part_0/bb.mp4", "dfdc_train_part_0/cc.mp4")
    trees.plant(root, {**trees.videos(*names), "dfdc_train_part_0/metadata.json": part})
    corpus = read_dataset("dfdc", root)
    table = rows(corpus)
    assert set(table) == set(names[:2])
    assert table[names[1]]["pair_uri"] == table[names[0]]["uri"]
    assert table[names[0]]["source_id"] == table[names[1]]["source_id"] == "dfdc/aa.mp4"
    assert corpus.missing == ["dfdc_train_part_0/gone.mp4"]
    assert corpus.unlisted == [names[2]]


@pytest.mark.parametrize(
    "lists",
    [
        {"test/labels.csv": "filename,label\naa.mp4,0\nbb.mp4,1\n"},
        {"test/metadata.json": {"aa.mp4": {"is_fake": 0}, "bb.mp4": {"is_fake": 1}}},
        {
            "test/labels.csv": "filename,label\naa.mp4,0\nbb.mp4,1\n",
            "test/metadata.json": {"aa.mp4": {"is_fake": 0}, "bb.mp4": {"is_fake": 1}},
        },
    ],
)
def test_dfdc_test_set_with_either_kind_of_list(root, lists):
    trees.plant(root, {**trees.videos("test/aa.mp4", "test/bb.mp4"), **lists})
    table = rows(read_dataset("dfdc", root))
    assert {name: row["label"] for name, row in table.items()} == {
        "test/aa.mp4": "real",
        "test/bb.mp4": "fake",
    }
    assert {row["split"] for row in table.values()} == {"test"}


@pytest.mark.parametrize(
    "lists",
    [
        {"metadata.json": {"aa.mp4": {"split": "train"}}},
        {"metadata.json": ["aa.mp4"]},
        {"metadata.json": "{"},
        {"labels.csv": "file,fake\naa.mp4,1\n"},
        {"labels.csv": "filename,label\naa.mp4,FAKE\n"},
    ],
)
def test_dfdc_refuses_damaged_metadata(root, lists):
    trees.plant(root, {**trees.videos("aa.mp4"), **lists})
    with pytest.raises(ConfigError):
        read_dataset("dfdc", root)


def test_dfdcp(root):
    real, fake = "original_videos/1999/1999_A_001.mp4", "method_A/1224068/1224068_A_001.mp4"
    entries = {
        real: {"label": "real", "set": "test", "target_id": 1999, "swapped_id": None},
        fake: {"label": "fake", "set": "train", "target_id": 1224068, "swapped_id": 1999},
    }
    trees.plant(root, {**trees.videos(real, fake), "dataset.json": entries})
    table = rows(read_dataset("dfdcp", root))
    assert (table[real]["label"], table[real]["split"]) == ("real", "test")
    assert table[real]["identity"] == "dfdcp/1999"
    assert table[fake]["identity"] == "dfdcp/1224068+dfdcp/1999"
    assert table[fake]["method"] == "method_A"


def test_deeperforensics_takes_its_reals_from_faceforensics(root, tmp_path):
    name = "manipulated_videos/end_to_end/071_M101.mp4"
    lists = {"lists/splits/train.txt": "071_M101.mp4\n054_W003.mp4\n"}
    trees.plant(root, {**trees.videos(name), **lists})
    reals = trees.plant(str(tmp_path / "ffpp"), trees.faceforensics(PAIRS))
    corpus = read_dataset("deeperforensics", root, reals=reals)
    table = corpus.table().to_pylist()
    fake = next(row for row in table if row["label"] == "fake")
    assert fake["split"] == "train"
    assert fake["method"] == "end_to_end"
    assert fake["pair_uri"].endswith("original_sequences/youtube/c23/videos/071.mp4")
    real_sources = {row["source_id"] for row in table if row["label"] == "real"}
    assert real_sources == {"youtube/071", "youtube/054"}
    assert corpus.missing == ["054_W003.mp4"]


def test_deeperforensics_without_reals_says_so(root):
    trees.plant(root, trees.videos("manipulated_videos/end_to_end/071_M101.mp4"))
    corpus = read_dataset("deeperforensics", root)
    assert any("--reals" in remark for remark in corpus.remarks)
