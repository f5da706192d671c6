"""bench/gpu.sh says the truth: what it exits with where there is a device or none, and where the tests pass, fail or all skip."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "bench/gpu.sh"


class GpuScript(unittest.TestCase):
    def run_script(self, device, test_exit):
        """Runs a carried copy beside a made-up test program, with a made-up nvidia-smi where there is a device."""
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for path, text in {"test_gpu": f"echo the tests ran; exit {test_exit}", "torch/lib/libtorch_cpu.so": "",
                           "bin/nvidia-smi": "echo A Device, 1.0" if device else "echo no devices >&2; exit 9"}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("#!/bin/sh\n" + text + "\n")
            (folder / path).chmod(0o755)
        shutil.copy(SCRIPT, folder / "gpu.sh")
        return subprocess.run(["bash", folder / "gpu.sh"], capture_output=True, text=True, env=os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "FRUGAL_LIBTORCH_ROOT": str(folder / "torch")})

    @unittest.skipIf(list(pathlib.Path("/dev").glob("nvidia[0-9]*")), "there is a device here")
    def test_no_device_is_a_skip_even_where_the_tool_is_installed(self):
        done = self.run_script(device=False, test_exit=0)
        self.assertEqual(done.returncode, 0)
        self.assertIn("skipped, there is no NVIDIA device", done.stdout)
        self.assertNotIn("the tests ran", done.stdout)

    def test_a_device_that_all_tests_skip_is_a_failure(self):
        done = self.run_script(device=True, test_exit=4)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the tests ran", done.stdout)
        self.assertIn("the device was not used", done.stderr)

    def test_a_device_with_tests_that_pass_or_fail_gives_their_exit_code(self):
        self.assertEqual(self.run_script(device=True, test_exit=0).returncode, 0)
        self.assertEqual(self.run_script(device=True, test_exit=1).returncode, 1)
        self.assertIn("A Device, 1.0", self.run_script(device=True, test_exit=0).stdout)


if __name__ == "__main__":
    unittest.main()
