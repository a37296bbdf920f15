"""Folders of images."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from genzoo.core.checks import check_choice, check_int
from genzoo.core.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class ImageFolder:
    """Images below a folder; sub-folders are classes.

    Images smaller than the target on either side are left out and counted; files that cannot be
    read are named and left out. The rest are cropped at the centre and scaled down.

    Args:
        path: Folder.
        image_size: (height, width) of the result.
        channels: 3 for RGB, 1 for grey.

    Attributes:
        class_names: Names of the sub-folders, sorted; empty without any.
        too_small: Number of images left out for their size.
        corrupt: Files that could not be read.
        files: What is left, in sorted order.
        labels: Class of each file.
    """

    def __init__(self, path: Path, image_size: tuple[int, int] = (64, 64), channels: int = 3):
        self.image_size = tuple(check_int(n, "image_size") for n in image_size)
        self.channels = check_choice(channels, (1, 3), "channels")
        candidates = sorted(f for f in path.rglob("*") if f.suffix.lower() in EXTENSIONS)
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
        folders = [f.relative_to(path).parts[0] if f.parent != path else "" for f in self.files]
        names = sorted(set(folders))
        self.class_names = [] if names == [""] else names
        self.labels = np.array([names.index(folder) for folder in folders])

    def _sort_in(self, file: Path) -> None:
        try:
            with Image.open(file) as image:
                width, height = image.size
                if height < self.image_size[0] or width < self.image_size[1]:
                    self.too_small += 1
                    return
                image.load()
        except (
            UnidentifiedImageError,
            OSError,
            SyntaxError,
            ValueError,
            Image.DecompressionBombError,
        ):
            self.corrupt.append(str(file))
            return
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
