#!/usr/bin/env python3
"""Drawings find their names by the code points in their file names."""

import tempfile
import unittest
from pathlib import Path

from model.train import captions, names

TEST = """
# group: People & Body
# subgroup: person
1F468 1F3FB ; fully-qualified # x E1.0 man: light skin tone
# subgroup: person-activity
26F9 FE0F 200D 2642 FE0F ; fully-qualified # x E4.0 man bouncing ball
26F9 200D 2642           ; minimally-qualified # x E4.0 another name
# group: Symbols
# subgroup: keycap
0023 FE0F 20E3 ; fully-qualified # x E0.6 keycap: #
"""
ANNOTATION = "<ldml><annotations>{}</annotations></ldml>"
MAN = '<annotation cp="\U0001f468\U0001f3fb">adult | man</annotation>'
SPOKEN = '<annotation cp="\U0001f468\U0001f3fb" type="tts">man: light</annotation>'


class Names(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        root = Path(self.folder.name)
        self.unicode, self.drawings = root / "unicode", root / "drawings"
        self.write(self.unicode / names.TEST, TEST)
        self.write(self.unicode / names.ANNOTATIONS[0], ANNOTATION.format(MAN + SPOKEN))
        self.write(self.unicode / names.ANNOTATIONS[1], ANNOTATION.format(""))

    @staticmethod
    def write(path, text=""):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def test_spellings_of_file_names(self):
        for name in ("noto/emoji_u1f468_1f3fb.svg", "blob/1F468-1F3FB.svg",
                     "twemoji/26f9-fe0f-200d-2642-fe0f.svg", "twemoji/23-20e3.svg",
                     "noto/emoji_u1ffff.svg", "noto/LICENSE.svg"):
            self.write(self.drawings / name)
        found = {entry["file"]: entry for entry in names.entries(self.drawings, self.unicode)}
        self.assertEqual(
            {file: entry["name"] for file, entry in found.items()},
            {
                "noto/emoji_u1f468_1f3fb.svg": "man: light skin tone",
                "blob/1F468-1F3FB.svg": "man: light skin tone",
                "twemoji/26f9-fe0f-200d-2642-fe0f.svg": "man bouncing ball",
                "twemoji/23-20e3.svg": "keycap: #",
            },
        )
        man = found["blob/1F468-1F3FB.svg"]
        self.assertEqual(man["keywords"], ["adult", "man"])
        self.assertEqual((man["style"], man["subgroup"]), ("blob", "person"))
        self.assertEqual(captions.name_of(man), "man, light skin tone")
        self.assertEqual(captions.name_of(found["twemoji/23-20e3.svg"]), "keycap: #")

    def test_missing_files_are_named(self):
        (self.unicode / names.TEST).unlink()
        with self.assertRaisesRegex(SystemExit, "emoji-test.txt.*unicode-data"):
            names.entries(self.drawings, self.unicode)


if __name__ == "__main__":
    unittest.main()
