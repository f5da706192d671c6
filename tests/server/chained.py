"""chained.py PROGRAM MODEL [LLAMA_SERVER]: HttpEndpoint against real servers. One `frugal serve` answers through another one, by both APIs, and
where its program is given, through llama.cpp's server: the same answers, usage, calls of tools and errors, and cancellation all the way."""
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import openai
from serving import KEY, Serving

PROGRAM, MODEL = sys.argv[1], sys.argv[2]
ASK = dict(messages=[{"role": "user", "content": "What is the capital of France? Answer in one word."}], temperature=0, max_tokens=12)
LONG = dict(messages=[{"role": "user", "content": "Count from 1 to 1000, one number a line."}], temperature=0, max_tokens=4000)


def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0, timeout=120)


def config(folder, remotes):
    file = pathlib.Path(folder) / "front.json"
    file.write_text(json.dumps({"remotes": remotes, "cascades": [{"name": "auto", "tiers": [r["name"] for r in remotes][:2], "margin": 0.5}]
                                if len(remotes) > 1 else []}))
    return file


def same_answers(front, back):
    direct = client(back).chat.completions.create(model="m", **ASK)
    for name in ("chat", "messages"):
        answer = client(front).chat.completions.create(model=name, **ASK)
        assert answer.choices[0].message.content == direct.choices[0].message.content, (name, answer, direct)
        assert answer.choices[0].finish_reason == direct.choices[0].finish_reason
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (direct.usage.prompt_tokens, direct.usage.completion_tokens), answer
        text = "".join(c.choices[0].delta.content or "" for c in client(front).chat.completions.create(model=name, stream=True, **ASK))
        assert text == direct.choices[0].message.content


def errors_come_through(front):
    for name in ("chat", "messages"):
        try:
            client(front).chat.completions.create(model=name, messages=[{"role": "user", "content": "word " * 20000}], temperature=0, max_tokens=5)
            raise AssertionError("was answered")
        except openai.BadRequestError as error:
            assert "context" in str(error), error
            assert name != "chat" or error.code == "context_length_exceeded", error.body


def schemas_come_through(front):
    """The schema goes to the second server, which enforces it."""
    person = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
              "required": ["name", "age"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": person, "strict": True}}
    for name in ("chat", "messages"):
        answer = client(front).chat.completions.create(model=name, messages=[{"role": "user", "content": "Invent a person."}], response_format=form,
                                                       temperature=0, max_tokens=80).choices[0].message.content
        assert set(json.loads(answer)) == {"name", "age"}, (name, answer)


def cancellation_goes_all_the_way(front, back):
    for name in ("chat", "messages"):
        stream = client(front).chat.completions.create(model=name, stream=True, **LONG)
        for _, _ in zip(stream, range(3)):
            pass
        assert back.running() == 1
        stream.close()
        left = time.monotonic()
        while back.running() > 0:
            assert time.monotonic() - left < 3, "the model went on after the client had left"
            time.sleep(0.001)
        print(f"  {name}: gone at the second server after {1e3 * (time.monotonic() - left):.1f} ms")


def llama_server(program, folder):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    null = subprocess.DEVNULL
    process = subprocess.Popen([program, "-m", MODEL, "-t", "2", "-c", "4096", "-np", "2", "--no-webui", "--port", str(port)], stdout=null, stderr=null)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.1)
        file = config(folder, [{"name": "llama", "url": f"http://127.0.0.1:{port}/v1", "model": "m"}])
        with Serving(PROGRAM, folder, "--config", str(file), "--quiet") as front:
            answer = client(front).chat.completions.create(model="llama", **ASK)
            assert "Paris" in answer.choices[0].message.content and answer.usage.prompt_tokens > 10, answer
            chunks = list(client(front).chat.completions.create(model="llama", stream=True, stream_options={"include_usage": True}, **ASK))
            assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer.choices[0].message.content
            assert chunks[-1].usage.completion_tokens == answer.usage.completion_tokens
            stream = client(front).chat.completions.create(model="llama", stream=True, **LONG)
            next(stream)
            stream.close()
            assert client(front).chat.completions.create(model="llama", **ASK).choices[0].message.content == answer.choices[0].message.content
            front.stop()
            front.check_silence()
        print("llama-server: answers, streams and is cancelled through frugal")
    finally:
        process.kill()
        process.wait()


def main():
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        if len(sys.argv) > 3:
            return llama_server(sys.argv[3], folder)
        with Serving(PROGRAM, folder, "--model", f"m={MODEL}", "--quiet") as back:
            key = str(back.folder / "team.key")
            url = back.url + "/v1"
            file = config(other, [{"name": "chat", "url": url, "model": "m", "key_file": key},
                                  {"name": "messages", "api": "anthropic_messages", "url": url, "model": "m", "key_file": key}])
            with Serving(PROGRAM, other, "--config", str(file), "--quiet") as front:
                same_answers(front, back)
                errors_come_through(front)
                schemas_come_through(front)
                cancellation_goes_all_the_way(front, back)
                assert client(front).chat.completions.create(model="auto", **ASK).choices[0].message.content
                assert front.stop() == 0
                front.check_silence()
            assert back.stop() == 0
            back.check_silence()
    print("one server through another: the same answers, usage, errors; cancelled all the way")


main()
