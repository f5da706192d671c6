"""bench/gpu.sh says the truth: what it exits with where there is a device or none, and where the tests pass, fail or all skip."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import unittest.mock

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench/gpu.sh"


class GpuScript(unittest.TestCase):
    def run_script(self, device, test_exit, *parts, bench="exit 0"):
        """Runs a carried copy beside made-up programs, with a made-up nvidia-smi where there is a device."""
        folder = self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        figure = json.dumps({"part": "copy", "shape": "s", "format": "bf16", "name": "copy", "value": 2.5, "unit": "GB/s"})
        for path, text in {"test_gpu": f"echo the tests ran | tee '{folder}/ran'; exit {test_exit}",
                           "bench_gpu": f"echo '{figure}'; {bench}", "torch/lib/libtorch_cpu.so": "",
                           "bin/nvidia-smi": "echo A Device, 1.0" if device else "echo no devices >&2; exit 9"}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("#!/bin/sh\n" + text + "\n")
            (folder / path).chmod(0o755)
        shutil.copy(SCRIPT, folder / "gpu.sh")
        return subprocess.run(["bash", folder / "gpu.sh", *parts], capture_output=True, text=True, env=os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "FRUGAL_LIBTORCH_ROOT": str(folder / "torch"), "OUT": str(folder / "out")})

    def figures(self):
        return json.loads((self.folder / "out/gpu.json").read_text())

    @unittest.skipIf(list(pathlib.Path("/dev").glob("nvidia[0-9]*")), "there is a device here")
    def test_no_device_is_a_skip_of_one_line_even_where_the_tool_is_installed(self):
        done = self.run_script(False, 0)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "gpu: skipped, there is no NVIDIA device here\n")
        self.assertFalse((self.folder / "ran").exists())

    def test_a_device_that_all_tests_skip_is_a_failure(self):
        done = self.run_script(True, 4)
        self.assertEqual(done.returncode, 1)
        self.assertTrue((self.folder / "ran").exists())
        self.assertIn("the device was not used", done.stderr)

    def test_a_device_with_tests_that_pass_gives_figures_under_its_name(self):
        done = self.run_script(True, 0, "correct", "copy")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("2 parts passed, 0 failed", done.stdout)
        self.assertEqual(self.figures()["device"], "A Device, 1.0")
        self.assertEqual([f["value"] for f in self.figures()["figures"]], [2.5])

    def test_tests_that_fail_do_not_stop_the_other_parts(self):
        done = self.run_script(True, 1, "correct", "copy")
        self.assertEqual(done.returncode, 1)
        self.assertIn("correct: FAILED (1)", done.stdout)
        self.assertEqual(len(self.figures()["figures"]), 1)

    def test_a_part_that_runs_for_ever_is_stopped_and_fails(self):
        self.enterContext(unittest.mock.patch.dict(os.environ, LIMIT="6"))
        done = self.run_script(True, 0, "copy", "decode", bench="exec sleep 60")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "copy: stopped after [56] s")
        self.assertIn("left out, the time is over", done.stdout)

    def test_unknown_parts_are_refused(self):
        self.assertEqual(self.run_script(True, 0, "nonsense").returncode, 2)


if __name__ == "__main__":
    unittest.main()
