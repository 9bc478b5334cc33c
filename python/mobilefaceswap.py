"""Face swapping on an ordinary CPU: a thin layer over the C interface (include/mobilefaceswap/mobilefaceswap.h).

    import mobilefaceswap as mfs

    engine = mfs.Engine()
    person = engine.create_identity(["a.jpg", "b.jpg"])     # photos of one person: files, or arrays
    engine.set_identity(person, faces="all")
    engine.swap(image)                                      # in place; the number of faces swapped
    stream = engine.stream()
    for i, frame in enumerate(frames):                      # a camera's or film's frames
        stream.swap(frame, seconds=i / 25)
    engine.swap_video("in.mp4", "out.mp4")

Pictures are numpy arrays of uint8: [height, width] grey, [height, width, 3] or [height, width, 4], RGB unless order="bgr" (OpenCV's) is
given. Rows may have gaps (views of larger arrays); within a row pixels must be dense. What fails raises mobilefaceswap.Error with the
library's sentence. An engine and its streams serve one thread at a time; identities may be shared. Use it with the consent of the people shown.
"""

import ctypes
import ctypes.util
import os
import pathlib

import numpy as np

__all__ = ["Engine", "Error", "Identity", "Stream", "version"]

_STATUS = ["ok", "invalid argument", "not found", "already exists", "io error", "disk full", "corrupt data", "unsupported", "no face", "out of memory", "cancelled", "internal"]
_FACES = {"largest": 0, "all": 1, "reference": 2}


class Error(Exception):
    """status: mfs_status; name: what it is called, for example "no face"."""

    def __init__(self, status, message):
        super().__init__(message or _STATUS[status])
        self.status = status
        self.name = _STATUS[status]


class _EngineOptions(ctypes.Structure):
    _fields_ = [("models_dir", ctypes.c_char_p), ("cache_dir", ctypes.c_char_p), ("cpu", ctypes.c_char_p)]


class _SwapOptions(ctypes.Structure):
    _fields_ = [
        ("faces", ctypes.c_int), ("reference_photo", ctypes.c_char_p), ("similarity", ctypes.c_float), ("strength", ctypes.c_float), ("threads", ctypes.c_int), ("feather", ctypes.c_float),
        ("color_match", ctypes.c_int), ("detail_match", ctypes.c_int), ("keep_mouth", ctypes.c_int), ("int8", ctypes.c_int),
    ]


class _Image(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("width", ctypes.c_int), ("height", ctypes.c_int), ("stride", ctypes.c_ssize_t), ("format", ctypes.c_int)]


class _Face(ctypes.Structure):
    _fields_ = [("box", ctypes.c_float * 4), ("score", ctypes.c_float), ("points", ctypes.c_float * 10), ("yaw", ctypes.c_float), ("pitch", ctypes.c_float), ("roll", ctypes.c_float)]


class _VideoReport(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("frames", "swapped", "passed_through")] + [
        (name, ctypes.c_double) for name in ("seconds", "decode", "detect", "align", "swap", "paste", "encode", "looks")
    ]


_Progress = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def _load():
    """$MFS_LIBRARY; beside this file as installed or in the source tree; else where the system finds libraries."""
    here = pathlib.Path(__file__).resolve().parent
    names = [os.environ["MFS_LIBRARY"]] if os.environ.get("MFS_LIBRARY") else []
    if not names:
        folders = [here, here.parent / "build" / "release" / "lib"]
        if len(here.parents) > 2:  # PREFIX/share/mobilefaceswap/python
            folders[1:1] = [here.parents[2] / "lib", *sorted((here.parents[2] / "lib").glob("*-linux-gnu"))]
        names = [str(f / "libmobilefaceswap.so") for f in folders if (f / "libmobilefaceswap.so").exists()] or [ctypes.util.find_library("mobilefaceswap") or "libmobilefaceswap.so"]
    try:
        lib = ctypes.CDLL(names[0])
    except OSError as e:
        raise ImportError(f"libmobilefaceswap.so was not found ({e}); install it (make install) or set MFS_LIBRARY") from None
    pointer, out, text, count = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p, ctypes.c_size_t
    image, number = ctypes.POINTER(_Image), ctypes.POINTER(ctypes.c_int)
    for name, result, arguments in [
        ("version", text, []),
        ("swap_default_options", _SwapOptions, []),
        ("engine_create", ctypes.c_int, [ctypes.POINTER(_EngineOptions), out]),
        ("engine_destroy", None, [pointer]),
        ("last_error", text, [pointer]),
        ("last_warnings", text, [pointer]),
        ("identity_create", ctypes.c_int, [pointer, ctypes.POINTER(text), count, out]),
        ("identity_create_from_images", ctypes.c_int, [pointer, image, count, out]),
        ("identity_load", ctypes.c_int, [pointer, text, out]),
        ("identity_save", ctypes.c_int, [pointer, pointer, text]),
        ("identity_load_from_memory", ctypes.c_int, [pointer, pointer, count, out]),
        ("identity_save_to_memory", ctypes.c_int, [pointer, pointer, pointer, count, ctypes.POINTER(count)]),
        ("identity_compare", ctypes.c_int, [pointer, pointer, pointer, ctypes.POINTER(ctypes.c_float)]),
        ("identity_destroy", None, [pointer]),
        ("engine_set_identity", ctypes.c_int, [pointer, pointer, ctypes.POINTER(_SwapOptions)]),
        ("engine_set_map", ctypes.c_int, [pointer, out, out, count, ctypes.POINTER(_SwapOptions)]),
        ("find_faces", ctypes.c_int, [pointer, image, ctypes.POINTER(_Face), count, ctypes.POINTER(count)]),
        ("swap_pixels", ctypes.c_int, [pointer, image, number]),
        ("stream_create", ctypes.c_int, [pointer, out]),
        ("stream_swap", ctypes.c_int, [pointer, image, ctypes.c_double, number]),
        ("stream_destroy", None, [pointer]),
        ("swap_picture", ctypes.c_int, [pointer, text, text]),
        ("swap_video", ctypes.c_int, [pointer, text, text, _Progress, pointer, ctypes.POINTER(_VideoReport)]),
    ]:
        function = getattr(lib, "mfs_" + name)
        function.restype, function.argtypes = result, arguments
    return lib


_lib = _load()


def version():
    """For example "0.1.0"."""
    return _lib.mfs_version().decode()


def _path(path):
    return os.fsencode(path)


def _image(array, order, writable):
    if order not in ("rgb", "bgr"):
        raise ValueError("order must be 'rgb' or 'bgr'")
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise TypeError("a picture is a numpy array of uint8 with 2 or 3 dimensions")
    channels = 1 if array.ndim == 2 else array.shape[2]
    if channels not in (1, 3, 4):
        raise TypeError("a picture has 1, 3 or 4 channels")
    dense = (channels, 1) if array.ndim == 3 else (1,)
    if array.strides[1:] != dense or array.strides[0] < array.shape[1] * channels:
        raise ValueError("the pixels of a row must follow each other, rows from top to bottom; np.ascontiguousarray makes it so")
    if writable and not array.flags.writeable:
        raise ValueError("the array cannot be written")
    pixels = 4 if channels == 1 else {("rgb", 3): 0, ("bgr", 3): 1, ("rgb", 4): 2, ("bgr", 4): 3}[order, channels]
    return _Image(array.ctypes.data, array.shape[1], array.shape[0], array.strides[0], pixels)


class Identity:
    """One person's network weights; made by an Engine, usable with every other one."""

    def __init__(self, handle):
        self._handle = handle

    def __del__(self):
        _lib.mfs_identity_destroy(self._handle)


class Engine:
    """The networks and their memory. cpu: "avx512", "avx2", "sse4", "scalar"; None: the best here."""

    def __init__(self, models_dir=None, cache_dir=None, cpu=None):
        self._handle = None
        encoded = [None if v is None else _path(v) for v in (models_dir, cache_dir, cpu)]
        options, handle = _EngineOptions(*encoded), ctypes.c_void_p()
        status = _lib.mfs_engine_create(options, handle)
        self._handle = handle
        self._check(status)

    def __del__(self):
        _lib.mfs_engine_destroy(self._handle)

    def _check(self, status):
        if status != 0:
            raise Error(status, _lib.mfs_last_error(self._handle).decode(errors="replace"))

    @property
    def warnings(self):
        """What the last call left out or did otherwise than may be expected: a list of sentences."""
        return _lib.mfs_last_warnings(self._handle).decode(errors="replace").splitlines()

    def create_identity(self, photos, order="rgb"):
        """One photo or several of one person, all files or all arrays (upright). Error "no face" when one shows none."""
        photos = [photos] if isinstance(photos, (str, os.PathLike, np.ndarray)) else list(photos)
        out = ctypes.c_void_p()
        if any(isinstance(p, np.ndarray) for p in photos):
            images = (_Image * len(photos))(*[_image(p, order, False) for p in photos])
            self._check(_lib.mfs_identity_create_from_images(self._handle, images, len(photos), out))
        else:
            names = (ctypes.c_char_p * len(photos))(*[_path(p) for p in photos])
            self._check(_lib.mfs_identity_create(self._handle, names, len(photos), out))
        return Identity(out)

    def load_identity(self, path):
        """path: a file, or the bytes of one."""
        out = ctypes.c_void_p()
        if isinstance(path, (bytes, bytearray, memoryview)):
            data = bytes(path)
            self._check(_lib.mfs_identity_load_from_memory(self._handle, data, len(data), out))
        else:
            self._check(_lib.mfs_identity_load(self._handle, _path(path), out))
        return Identity(out)

    def save_identity(self, identity, path):
        """A .safetensors file of about 1 MB; takes the place of a file that is there."""
        self._check(_lib.mfs_identity_save(self._handle, identity._handle, _path(path)))

    def identity_bytes(self, identity):
        """What save_identity writes."""
        size = ctypes.c_size_t()
        self._check(_lib.mfs_identity_save_to_memory(self._handle, identity._handle, None, 0, size))
        data = ctypes.create_string_buffer(size.value)
        self._check(_lib.mfs_identity_save_to_memory(self._handle, identity._handle, data, size, size))
        return data.raw

    def compare(self, a, b):
        """Cosine of the two persons' embeddings, -1..1; the same person is usually above 0.35."""
        cosine = ctypes.c_float()
        self._check(_lib.mfs_identity_compare(self._handle, a._handle, b._handle, cosine))
        return cosine.value

    def _options(self, faces="largest", reference=None, **looks):
        options = _lib.mfs_swap_default_options()
        if faces not in _FACES:
            raise ValueError("faces must be 'largest', 'all' or 'reference'")
        options.faces = _FACES[faces]
        options.reference_photo = None if reference is None else _path(reference)
        known = {name for name, _ in _SwapOptions._fields_} - {"faces", "reference_photo"}
        for name, value in looks.items():
            if name not in known:
                raise TypeError(f"no such option: {name} (there are {', '.join(sorted(known))})")
            setattr(options, name, value)
        return options

    def set_identity(self, identity, **options):
        """Who is swapped in from now on. options: faces ("largest", "all", "reference"), reference (a photo or identity file of the person to be replaced), similarity, strength (0..1),
        threads, feather, color_match, detail_match, keep_mouth, int8."""
        self._check(_lib.mfs_engine_set_identity(self._handle, identity._handle, self._options(**options)))

    def set_map(self, pairs, **options):
        """Several people at once: pairs of (this person of the target, becomes that one)."""
        pairs = list(pairs)
        persons, identities = [(ctypes.c_void_p * len(pairs))(*[p[k]._handle for p in pairs]) for k in (0, 1)]
        self._check(_lib.mfs_engine_set_map(self._handle, persons, identities, len(pairs), self._options(**options)))

    def find_faces(self, image, order="rgb", most=64):
        """Largest first: dicts of box (x0, y0, x1, y1), score, points (5, 2), yaw, pitch and roll in degrees."""
        faces, count = (_Face * most)(), ctypes.c_size_t()
        self._check(_lib.mfs_find_faces(self._handle, _image(image, order, False), faces, most, count))
        return [
            {"box": tuple(f.box), "score": f.score, "points": np.array(f.points, np.float32).reshape(5, 2), "yaw": f.yaw, "pitch": f.pitch, "roll": f.roll} for f in faces[: count.value]
        ]

    def swap(self, image, order="rgb"):
        """A picture, in place; the number of faces swapped. For frames see stream()."""
        swapped = ctypes.c_int()
        self._check(_lib.mfs_swap_pixels(self._handle, _image(image, order, True), swapped))
        return swapped.value

    def stream(self):
        """For the frames of one camera or film, one after the other."""
        return Stream(self)

    def swap_picture(self, target, output):
        self._check(_lib.mfs_swap_picture(self._handle, _path(target), _path(output)))

    def swap_video(self, target, output, progress=None):
        """progress(frames, total) is called once a frame; total is 0 when unknown; what is true stops it. Returns a dict of counts and seconds. KeyboardInterrupt and what progress raises
        stop it, too."""
        raised = []

        def call(_, frames, total):
            try:
                return 1 if progress is not None and progress(frames, total) else 0
            except BaseException as e:  # it must not get lost in C
                raised.append(e)
                return 1

        report, callback = _VideoReport(), _Progress(call)
        status = _lib.mfs_swap_video(self._handle, _path(target), _path(output), callback, None, report)
        if raised:
            raise raised[0]
        self._check(status)
        return {name: getattr(report, name) for name, _ in _VideoReport._fields_}


class Stream:
    """Follows faces from frame to frame."""

    def __init__(self, engine):
        self._engine = engine  # outlives the stream
        self._handle = ctypes.c_void_p()
        engine._check(_lib.mfs_stream_create(engine._handle, self._handle))

    def __del__(self):
        _lib.mfs_stream_destroy(self._handle)

    def swap(self, frame, seconds, order="rgb"):
        """In place; seconds: when the frame is shown. The number of faces swapped."""
        swapped = ctypes.c_int()
        self._engine._check(_lib.mfs_stream_swap(self._handle, _image(frame, order, True), seconds, swapped))
        return swapped.value
