"""Panels of napari: denoise the current layer, and show where there is only noise."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from nt2c.core.errors import InputError, Nt2cError, SettingsError
from nt2c.napari.files import grey_images, grey_limits, length_a
from nt2c.napari.work import Frames, denoise_images, noise_frames

_PLACE = ("translate", "rotate", "shear", "affine", "units", "axis_labels")
_FRAME_SHARE = 1 / 400


class Panel(ABC):
    """Choice of layer, pixel size and model; a button; a line that tells what happens.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Filled in by napari, which looks for this name.
    """

    verb: str

    @abstractmethod
    def start(self, layer: Any, size_a: float, model: str) -> Any:
        """Return a worker for a layer, its pixel size in angstrom and a model."""

    @abstractmethod
    def show(self, layer: Any, size_a: float, result: Any) -> str:
        """Add to the viewer what the worker returned, and say in a word what that is."""

    def __init__(self, napari_viewer: Any) -> None:
        from magicgui.widgets import ComboBox, Container, FileEdit, FloatSpinBox, Label, PushButton

        from nt2c.denoising.denoiser import bundled_models
        from nt2c.denoising.settings import BUNDLED

        self.viewer = napari_viewer
        self.layer = ComboBox(label="micrograph", choices=self._images, nullable=True)
        self.size = FloatSpinBox(label="A per pixel", min=0, max=1000, step=0.0001, value=0)
        self.source = Label(label="")
        self.model = ComboBox(label="model", choices=[BUNDLED, *bundled_models()], value=BUNDLED)
        self.file = FileEdit(label="or model file", filter="*.safetensors", nullable=True)
        self.button = PushButton(text=self.verb)
        self.status = Label(label="")
        self.container = Container(
            widgets=[
                self.layer, self.size, self.source, self.model, self.file, self.button, self.status,
            ]
        )  # fmt: skip
        self.native = self.container.native  # by which napari knows it for a widget
        self.layer.changed.connect(self._read_size)
        self.button.changed.connect(self._go)
        layers = self.viewer.layers.events
        layers.inserted.connect(self._refresh)
        layers.removed.connect(self._refresh)
        self.viewer.layers.selection.events.active.connect(self._follow)
        self._follow()

    def _images(self, _: Any = None) -> list[Any]:
        from napari.layers import Image

        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def _refresh(self, _: Any = None) -> None:
        self.layer.reset_choices()

    def _follow(self, _: Any = None) -> None:
        self._refresh()
        active = self.viewer.layers.selection.active
        if active in self._images():
            self.layer.value = active
        self._read_size()

    def _read_size(self, _: Any = None) -> None:
        layer = self.layer.value
        size_a = None if layer is None else length_a(layer.scale, layer.units)
        self.size.value = size_a or 0
        self.source.value = (
            "" if layer is None
            else "not known: please enter it" if size_a is None
            else "from the scale of the layer"
        )  # fmt: skip

    def _go(self, _: Any = None) -> None:
        layer, size_a = self.layer.value, float(self.size.value)
        try:
            if layer is None:
                raise InputError("no image layer: open a micrograph first")
            if not size_a:
                raise SettingsError("the pixel size is not known: enter it in angstrom")
            worker = self.start(layer, size_a, str(self.file.value or self.model.value))
        except Nt2cError as error:
            self._complain(error)
            return
        worker.returned.connect(lambda result: self._done(layer, size_a, result))
        worker.errored.connect(self._complain)
        self.button.enabled = False
        self.status.value = "working ..."
        worker.start()

    def _done(self, layer: Any, size_a: float, result: Any) -> None:
        self.button.enabled = True
        self.status.value = self.show(layer, size_a, result)

    def _complain(self, error: Exception) -> None:
        self.button.enabled = True
        self.status.value = str(error)


class DenoisePanel(Panel):
    """Adds the denoised image of the current layer."""

    verb = "Denoise"

    def start(self, layer: Any, size_a: float, model: str) -> Any:
        """Denoise the images of the layer."""
        return _in_thread(denoise_images, grey_images(layer.data, layer.rgb), size_a, model)

    def show(self, layer: Any, size_a: float, result: Any) -> str:
        """Add them over the same field."""
        self.viewer.add_image(
            result if layer.ndim == 3 else result[0],
            name=f"{layer.name} (nt2c)",
            contrast_limits=grey_limits(result[0]),
            metadata={"denoised": "pick on it; extract particles from the raw micrograph"},
            **_place(layer),
        )
        return f"denoised at {size_a:g} A per pixel"


class WindowsPanel(Panel):
    """Frames windows without particles in the current layer."""

    verb = "Show noise windows"

    def start(self, layer: Any, size_a: float, model: str) -> Any:
        """Find the windows of the layer."""
        images = grey_images(layer.data, layer.rgb)
        if len(images) > 1:
            raise InputError("a stack; show the windows of one micrograph at a time")
        return _in_thread(noise_frames, images[0], size_a, model)

    def show(self, layer: Any, size_a: float, result: Frames) -> str:
        """Add a frame around each."""
        self.viewer.add_shapes(
            list(result.corners),
            shape_type="rectangle",
            name=f"{layer.name} noise windows",
            edge_color="yellow",
            edge_width=max(layer.data.shape) * _FRAME_SHARE,
            face_color="transparent",
            features={"evidence": result.evidence},
            **_place(layer),
        )
        return f"{len(result.corners)} windows of {result.side_a:.0f} A"


def _in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    from napari.qt.threading import create_worker

    return create_worker(function, *arguments, _start_thread=False)


def _place(layer: Any) -> dict[str, Any]:
    return {"scale": layer.scale} | {name: getattr(layer, name) for name in _PLACE}
