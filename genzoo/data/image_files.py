"""Folders of images."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from genzoo.core.checks import check_choice, check_int
from genzoo.core.errors import DataError, InvalidInputError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class ImageFolder:
    """Images below a folder; sub-folders are classes, where all images lie in one.

    Images smaller than the target on either side are left out and counted; files that cannot be
    read are named and left out; hidden ones, as in `.ipynb_checkpoints`, do not count. The rest
    are cropped at the centre and scaled down.

    Args:
        path: Folder.
        image_size: (height, width) of the result.
        channels: 3 for RGB, 1 for grey.
        label: `"folder"` for classes also where some images lie in the folder itself, as the
            class `"."`.

    Attributes:
        class_names: Names of the sub-folders, sorted; empty without any.
        counts: Number of images in the folder itself (`"."`) and in each sub-folder.
        too_small: Number of images left out for their size.
        corrupt: Files that could not be read.
        files: What is left, in sorted order.
        labels: Class of each file, where there are classes.
    """

    def __init__(
        self,
        path: Path,
        image_size: tuple[int, int] = (64, 64),
        channels: int = 3,
        label: str | None = None,
    ):
        if label not in (None, "folder"):
            raise InvalidInputError(
                "Expected label='folder' with a folder of images, whose sub-folders are the "
                f"classes. Received: label={label!r}"
            )
        self.path = path
        self.image_size = tuple(check_int(n, "image_size") for n in image_size)
        self.channels = check_choice(channels, (1, 3), "channels")
        candidates = sorted(
            f for f in path.rglob("*") if f.suffix.lower() in EXTENSIONS and not _is_hidden(f, path)
        )
        if not candidates:
            raise DataError(
                f"Expected images ({', '.join(EXTENSIONS)}) in the folder or its sub-folders. "
                f"Received: {path}, which holds none."
            )
        self.too_small = 0
        self.corrupt: list[str] = []
        self.files: list[Path] = []
        for file in candidates:
            self._sort_in(file)
        if self.corrupt:
            warnings.warn(
                f"{len(self.corrupt)} files could not be read and are left out: "
                f"{', '.join(self.corrupt[:10])}{' ...' if len(self.corrupt) > 10 else ''}",
                stacklevel=3,
            )
        if not self.files:
            raise DataError(
                f"Expected images of at least {self.image_size} pixels. Received: {path} with "
                f"{self.too_small} smaller and {len(self.corrupt)} unreadable images. "
                "Choose a smaller image_size."
            )
        self._find_classes(label)

    def _find_classes(self, label: str | None) -> None:
        folders = [(*file.relative_to(self.path).parts[:-1], ".")[0] for file in self.files]
        self.counts = dict(sorted(Counter(folders).items()))
        names = list(self.counts)
        # images beside the sub-folders are a sign that these are no classes
        has_classes = names != ["."] if label else "." not in names
        self.class_names = names if has_classes else []
        self.labels = np.array([names.index(folder) for folder in folders])

    @property
    def notes(self) -> list[str]:
        """What was left out or could be meant otherwise, in sentences."""
        notes = []
        if self.too_small:
            notes.append(f"{self.too_small} images smaller than {self.image_size} left out")
        notes += [f"unreadable: {file}" for file in self.corrupt]
        if "." in self.counts and len(self.counts) > 1 and not self.class_names:
            shown = ", ".join(f"{count} in {name}" for name, count in self.counts.items())
            notes.append(
                f"images lie beside sub-folders ({shown[:200]}), which are not taken for labels; "
                "pass label='folder' (--label folder) where they are classes"
            )
        return notes

    def keep_pairs(self, other: "ImageFolder") -> list[str]:
        """Keep the files that both folders have by name, without suffix; return notes on it.

        Raises:
            DataError: If no name is in both.
        """
        first, second = (
            {str(file.relative_to(folder.path).with_suffix("")): file for file in folder.files}
            for folder in (self, other)
        )
        common = sorted(first.keys() & second.keys())
        if not common:
            raise DataError(
                "Expected two folders of pairs, with files of the same names. Received: "
                f"{self.path} ({next(iter(first))}, ...) and {other.path} "
                f"({next(iter(second))}, ...), which share none."
            )
        alone = len(self.files) + len(other.files) - 2 * len(common)
        self.files, other.files = ([names[name] for name in common] for names in (first, second))
        self._find_classes("folder" if self.class_names else None)
        return [f"{alone} images without a partner of the same name left out"] if alone else []

    def _sort_in(self, file: Path) -> None:
        try:
            with Image.open(file) as image:
                width, height = image.size
                if height < self.image_size[0] or width < self.image_size[1]:
                    self.too_small += 1
                    return
                image.load()
                mode = image.mode
        except (
            UnidentifiedImageError,
            OSError,
            SyntaxError,
            ValueError,
            Image.DecompressionBombError,
        ):
            self.corrupt.append(str(file))
            return
        if mode == "F":
            raise DataError(
                "Expected images of 8 or 16 bits, whose black and white are known. Received: "
                f"{file}, of real numbers. Convert such images first, or load them as an array."
            )
        self.files.append(file)

    def read(self, file: Path | str) -> np.ndarray:
        """Return one image, [height, width, channels] uint8."""
        height, width = self.image_size
        with Image.open(file) as image:
            # photographs of telephones lie on their side, and say so
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):
                # 16 bits, which Pillow would clip
                image = Image.fromarray(np.clip(np.asarray(image) // 257, 0, 255).astype(np.uint8))
            image = image.convert("RGB" if self.channels == 3 else "L")
            scale = max(height / image.height, width / image.width)
            # a rounding error beyond the edge would be refused
            box_width = min(width / scale, image.width)
            box_height = min(height / scale, image.height)
            left, top = (image.width - box_width) / 2, (image.height - box_height) / 2
            box = (left, top, left + box_width, top + box_height)
            image = image.resize((width, height), Image.Resampling.BOX, box=box)
            return np.asarray(image, np.uint8).reshape(height, width, self.channels)

    def read_all(self) -> np.ndarray:
        """Return all images, [n, height, width, channels] uint8."""
        return np.stack([self.read(file) for file in self.files])


def _is_hidden(file: Path, folder: Path) -> bool:
    """Return whether a file is what a notebook, an archive or a desktop keeps beside images."""
    parts = file.relative_to(folder).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts)
