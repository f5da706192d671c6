"""A `frugal serve` for tests: started on a free port, with keys and an access log, and searched for what must not be written."""
import json
import pathlib
import subprocess
import threading
import urllib.request

KEY = "planted-key-5f0c2f7e9a"
PROMPT = "planted prompt zyxwv"


class Serving:
    def __init__(self, program, folder, *arguments, keys=True):
        self.folder = pathlib.Path(folder)
        self.log = self.folder / "access.jsonl"
        key = self.folder / "team.key"
        key.write_text(KEY + "\n")
        command = [program, "serve", "--listen", "127.0.0.1:0", "--access-log", str(self.log), *arguments]
        self.process = subprocess.Popen(command + (["--key-file", str(key)] if keys else []), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        first = self.process.stdout.readline()
        assert first.startswith("listening on http://"), (first, self.process.stderr.read())
        self.url = first.split()[2]
        self.said = [first]
        self.readers = [threading.Thread(target=self.read, args=(s,)) for s in (self.process.stdout, self.process.stderr)]
        for reader in self.readers:
            reader.start()

    def read(self, stream):
        for line in stream:
            self.said.append(line)

    def get(self, path, key=KEY):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {key}"} if key else {})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read().decode()

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def running(self):
        """Requests that the engine has in hand, by its own metrics."""
        for line in self.get("/metrics").splitlines():
            if line.startswith("frugal_load_requests{") and 'state="running"' in line:
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError("no gauge of running requests in /metrics")

    def stop(self, timeout=60):
        self.process.terminate()
        code = self.process.wait(timeout)
        for reader in self.readers:
            reader.join()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def check_silence(self):
        """Nothing that was planted stands in a log, in standard output or in standard error."""
        everything = "".join(self.said) + self.log.read_text()
        for planted in (KEY, PROMPT, "zyxwv"):
            assert planted not in everything, planted
