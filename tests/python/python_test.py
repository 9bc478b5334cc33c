"""The Python layer on real faces. Run by ctest with the interpreter of the system; needs numpy."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np

import mobilefaceswap as mfs

CACHE = pathlib.Path(os.environ.get("MFS_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mobilefaceswap")
MEDIA = CACHE / "media"


def read(name, pixels="rgb24"):
    channels = 4 if pixels == "rgba" else 3
    size = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0", str(MEDIA / name)], capture_output=True, check=True, text=True)
    width, height = map(int, size.stdout.split(","))
    raw = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", str(MEDIA / name), "-frames:v", "1", "-pix_fmt", pixels, "-f", "rawvideo", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(height, width, channels).copy()


class Swap(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = mfs.Engine()
        cls.person = cls.engine.create_identity(MEDIA / "franck_02159.jpg")

    def test_persons(self):
        photo = read("franck_02159.jpg")
        self.assertGreater(self.engine.compare(self.person, self.engine.create_identity([photo])), 0.99)
        self.assertGreater(self.engine.compare(self.person, self.engine.create_identity([np.ascontiguousarray(photo[:, :, ::-1])], order="bgr")), 0.99)
        with tempfile.TemporaryDirectory() as folder:
            self.engine.save_identity(self.person, folder + "/a.safetensors")
            self.assertGreater(self.engine.compare(self.person, self.engine.load_identity(folder + "/a.safetensors")), 0.999)
            data = self.engine.identity_bytes(self.person)
            self.assertEqual(data, pathlib.Path(folder, "a.safetensors").read_bytes())
            self.assertGreater(self.engine.compare(self.person, self.engine.load_identity(data)), 0.999)
            with self.assertRaisesRegex(mfs.Error, "in memory"):
                self.engine.load_identity(data[:-1])
        self.engine.create_identity(MEDIA / "sample3.jpg")
        self.assertIn("3 faces", self.engine.warnings[0])

    def test_pictures_of_every_kind(self):
        before = read("sample3.jpg")
        self.engine.set_identity(self.person, faces="all")
        rgb = before.copy()
        self.assertEqual(self.engine.swap(rgb), 3)
        self.assertEqual(len(self.engine.find_faces(before)), 3)
        bgr = np.ascontiguousarray(before[:, :, ::-1])
        self.engine.swap(bgr, order="bgr")
        self.assertTrue((bgr[:, :, ::-1] == rgb).all())
        rgba = np.dstack([before, np.full(before.shape[:2], 77, np.uint8)])
        self.engine.swap(rgba)
        self.assertTrue((rgba[:, :, :3] == rgb).all() and (rgba[:, :, 3] == 77).all())
        # A view of a larger array.
        wide = np.zeros((before.shape[0], before.shape[1] + 10, 3), np.uint8)
        view = wide[:, 5:-5]
        view[:] = before
        self.engine.swap(view)
        self.assertTrue((view == rgb).all() and (wide[:, :5] == 0).all())
        self.assertEqual(self.engine.swap(np.ascontiguousarray(before.mean(2).astype(np.uint8))), 3)

    def test_stream_and_map(self):
        frame = read("sample3.jpg")
        self.engine.set_identity(self.person)
        stream = self.engine.stream()
        for i in range(4):
            copy = frame.copy()
            self.assertEqual(stream.swap(copy, i / 25), 1)
            self.assertTrue((copy != frame).any())
        somebody = self.engine.create_identity(MEDIA / "sample3.jpg")
        self.engine.set_map([(somebody, self.person)], strength=0.5)
        self.assertEqual(self.engine.swap(frame), 1)

    def test_what_is_wrong_is_said(self):
        grey = np.full((64, 64, 3), 128, np.uint8)
        with self.assertRaises(mfs.Error) as caught:
            self.engine.create_identity(grey)
        self.assertEqual(caught.exception.name, "no face")
        with self.assertRaises(mfs.Error) as caught:
            self.engine.load_identity("/nowhere.safetensors")
        self.assertEqual(caught.exception.name, "not found")
        with self.assertRaises(mfs.Error) as caught:
            self.engine.create_identity(os.fsdecode(b"/nowhere/caf\xe9.jpg"))
        self.assertEqual(caught.exception.name, "not found")
        self.assertRaises(TypeError, mfs.Engine, models_dir=5)
        for wrong in (grey.astype(float), grey[:, :, :2], [1, 2]):
            self.assertRaises(TypeError, self.engine.swap, wrong)
        for wrong in (grey[:, ::2], grey[::-1], grey.transpose(1, 0, 2)):
            self.assertRaises(ValueError, self.engine.swap, wrong)
        locked = grey.copy()
        locked.flags.writeable = False
        self.assertRaises(ValueError, self.engine.swap, locked)
        self.assertRaises(ValueError, self.engine.set_identity, self.person, faces="some")
        self.assertRaises(TypeError, self.engine.set_identity, self.person, colour=1)
        self.assertRaises(mfs.Error, self.engine.set_identity, self.person, strength=2)
        self.assertRaises(mfs.Error, mfs.Engine, models_dir="/nowhere")

    def test_files(self):
        self.engine.set_identity(self.person)
        with tempfile.TemporaryDirectory() as folder:
            self.engine.swap_picture(MEDIA / "sample3.jpg", folder + "/a.png")
            self.assertTrue(os.path.exists(folder + "/a.png"))
            seen = []
            with self.assertRaises(mfs.Error) as caught:
                self.engine.swap_video(MEDIA / "cap13_edit2.mp4", folder + "/a.mp4", lambda frames, total: seen.append((frames, total)) or frames > 20)
            self.assertEqual(caught.exception.name, "cancelled")
            self.assertGreater(seen[-1][1], 700)

            def fail(frames, total):
                raise KeyError("mine")

            self.assertRaises(KeyError, self.engine.swap_video, MEDIA / "cap13_edit2.mp4", folder + "/a.mp4", fail)
            self.assertEqual(sorted(os.listdir(folder)), ["a.png"])


if __name__ == "__main__":
    unittest.main()
