"""certificates.py DRIVER: an HttpEndpoint and servers whose certificate is right or wrong.

Wrong ones end the request once, with an error that says what is wrong, and no byte of the request reaches the server. The
certificates are made here, by the openssl command; without it the test is skipped (exit 77).
"""
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
          b'data: {"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n')


class Authority:
    """Signs certificates in a folder of its own."""

    def __init__(self, folder, name):
        self.folder = folder / name
        (self.folder / "new").mkdir(parents=True)
        (self.folder / "index.txt").touch()
        (self.folder / "index.txt.attr").write_text("unique_subject = no\n")
        (self.folder / "serial").write_text("01\n")
        (self.folder / "config").write_text(f"""[ca]
default_ca = here
[here]
dir = {self.folder}
database = $dir/index.txt
new_certs_dir = $dir/new
serial = $dir/serial
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
""")
        self.certificate, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", self.key,
                "-out", self.certificate)

    def sign(self, name, host, start, end):
        """The certificate and its key, for `host`, good from `start` to `end`."""
        key, wish, out = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
                "-keyout", key, "-out", wish)
        openssl("ca", "-batch", "-notext", "-config", self.folder / "config", "-cert", self.certificate, "-keyfile", self.key,
                "-startdate", start, "-enddate", end, "-in", wish, "-out", out)
        return out, key


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def self_signed(folder, host):
    key, out = folder / "self.key", folder / "self.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={host}", "-addext",
            f"subjectAltName=DNS:{host}", "-keyout", key, "-out", out)
    return out, key


class Server:
    """Answers over TLS with one certificate (None: without TLS), and keeps what it read."""

    def __init__(self, certificate):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.read, self.connections = b"", 0
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            connection.settimeout(5)
            self.connections += 1
            with connection:
                if not self.answer(connection):
                    return

    def answer(self, connection):
        """False: it was told to stop."""
        try:
            if connection.recv(4, socket.MSG_PEEK) == b"stop":
                return False
            if not self.context:
                connection.recv(4096)  # the client's first TLS record
                return True
            with self.context.wrap_socket(connection, server_side=True) as secure:
                self.read += secure.recv(65536)
                if self.read:
                    secure.sendall(ANSWER)
        except (ssl.SSLError, OSError):
            pass
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
        self.thread.join()
        self.socket.close()


def main(driver):
    if not shutil.which("openssl"):
        print("no openssl command")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        ours, others = Authority(folder, "ours"), Authority(folder, "others")
        good = ("20200101000000Z", "20600101000000Z")
        cases = [  # what, certificate, words of the error (None = it is answered)
            ("good", ours.sign("good", "localhost", *good), None),
            ("self-signed", self_signed(folder, "localhost"), "self-signed"),
            ("signed by somebody else", others.sign("other", "localhost", *good), "certificate"),
            ("for another host", ours.sign("host", "example.org", *good), "localhost"),
            ("expired", ours.sign("old", "localhost", "20200101000000Z", "20210101000000Z"), "expired"),
            ("not valid yet", ours.sign("new", "localhost", "20590101000000Z", "20600101000000Z"), "not yet valid"),
            ("no TLS at all", None, "SSL"),
        ]
        for what, certificate, words in cases:
            with Server(certificate) as server:
                said = subprocess.run([driver, f"https://localhost:{server.port}/v1", ours.certificate], capture_output=True, text=True,
                                      timeout=60, check=True).stdout
            end = json.loads(said)
            print(what, end)
            assert end["finishes"] == 1, what
            if words is None:
                assert end["reason"] == "stop" and end["text"] == "Hello" and b"planted prompt" in server.read, what
                continue
            assert end["reason"] == "error" and end["code"] == "unavailable", what
            assert words in end["message"], what
            assert ("certificate is not trusted" in end["message"]) == (certificate is not None), what
            assert server.read == b"" and server.connections == 2, what  # the second one told it to stop: nothing was tried again
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
