"""clients.py PROGRAM MODEL [test ...]: the official Python clients `openai` and `anthropic` against `frugal serve`."""
import concurrent.futures
import json
import pathlib
import sys
import tempfile
import threading
import time

import anthropic
import openai
from serving import KEY, PROMPT, Serving

PROGRAM, MODEL = sys.argv[1], sys.argv[2]
CAPITAL = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
COLD = {"extra_body": {"temperature": 0}}  # the client itself has no such parameter any more
LONG = [{"role": "user", "content": "Count from 1 to 1000, one number a line, and never stop."}]
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"],
                   "additionalProperties": False}}}
PERSON = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
          "required": ["name", "age"], "additionalProperties": False}


def raises(kind, call, *words):
    try:
        call()
    except kind as error:
        for word in words:
            assert word in str(error), (word, str(error))
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def openai_chat(o, _a, _s):
    answer = o.chat.completions.create(model="m", messages=CAPITAL, temperature=0, max_tokens=12)
    choice = answer.choices[0]
    assert "Paris" in choice.message.content and choice.message.role == "assistant", answer
    assert choice.finish_reason in ("stop", "length") and answer.model == "m" and answer.id.startswith("chatcmpl-"), answer
    usage = answer.usage
    assert usage.prompt_tokens > 10 and 0 < usage.completion_tokens <= 12, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    again = o.chat.completions.create(model="m", messages=CAPITAL, temperature=0, max_tokens=12)
    assert again.choices[0].message.content == choice.message.content
    assert 0 < again.usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens, again.usage
    return choice.message.content


def openai_stream(o, _a, _s):
    whole = openai_chat(o, None, None)
    chunks = list(o.chat.completions.create(model="m", messages=CAPITAL, temperature=0, max_tokens=12, stream=True,
                                            stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    ends = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert len(ends) == 1 and ends[0] in ("stop", "length"), ends
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert len({c.id for c in chunks}) == 1 and len(chunks) > 3
    with o.chat.completions.stream(model="m", messages=CAPITAL, temperature=0, max_tokens=12) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == whole


def openai_seed(o, _a, _s):
    ask = lambda seed: o.chat.completions.create(model="m", messages=[{"role": "user", "content": "Tell me a story."}], temperature=1.2,
                                                 seed=seed, max_tokens=16).choices[0].message.content
    assert ask(7) == ask(7)
    assert len({ask(seed) for seed in range(4)}) > 1


def openai_stop(o, _a, _s):
    text = o.chat.completions.create(model="m", messages=LONG, temperature=0, max_tokens=40).choices[0].message.content
    stop = text[8:12]
    cut = o.chat.completions.create(model="m", messages=LONG, temperature=0, max_tokens=40, stop=[stop, "never seen"]).choices[0]
    assert cut.finish_reason == "stop" and stop not in cut.message.content and text.startswith(cut.message.content), cut
    length = o.chat.completions.create(model="m", messages=LONG, temperature=0, max_completion_tokens=5)
    assert length.choices[0].finish_reason == "length" and length.usage.completion_tokens == 5


def openai_logprobs(o, _a, _s):
    answer = o.chat.completions.create(model="m", messages=CAPITAL, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert len(content) in (answer.usage.completion_tokens, answer.usage.completion_tokens - 1), answer
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3 and bytes(token.bytes).decode(errors="replace") == token.token
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob and token.token == token.top_logprobs[0].token
    assert "".join(t.token for t in content).startswith(answer.choices[0].message.content[:4])
    chunks = list(o.chat.completions.create(model="m", messages=CAPITAL, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3,
                                            stream=True))
    streamed = [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert [t.token for t in streamed] == [t.token for t in content]
    assert all(abs(a.logprob - b.logprob) < 1e-5 for a, b in zip(streamed, content))


def openai_completions(o, _a, _s):
    answer = o.completions.create(model="m", prompt="The capital of France is", temperature=0, max_tokens=6, logprobs=2)
    assert "Paris" in answer.choices[0].text and answer.usage.prompt_tokens == 5, answer
    assert len(answer.choices[0].logprobs.tokens) == 6 and len(answer.choices[0].logprobs.top_logprobs[0]) == 2
    chunks = list(o.completions.create(model="m", prompt="The capital of France is", temperature=0, max_tokens=6, stream=True))
    assert "".join(c.choices[0].text for c in chunks) == answer.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"


def openai_embeddings(o, _a, _s):
    texts = ["The cat sat on the mat.", "A cat is sitting on a mat.", "Interest rates rose by half a percent."]
    answer = o.embeddings.create(model="m", input=texts)  # the client asks for base64 and reads it
    vectors = [d.embedding for d in answer.data]
    assert [d.index for d in answer.data] == [0, 1, 2] and answer.model == "m" and answer.object == "list", answer
    assert len({len(v) for v in vectors}) == 1 and len(vectors[0]) == 576
    assert all(abs(sum(x * x for x in v) - 1) < 1e-4 for v in vectors)
    like = lambda a, b: sum(x * y for x, y in zip(a, b))
    assert like(vectors[0], vectors[1]) > like(vectors[0], vectors[2]), "a paraphrase is no nearer than another topic"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 15, answer.usage
    plain = o.embeddings.create(model="m", input=texts[0], encoding_format="float").data[0].embedding
    assert max(abs(x - y) for x, y in zip(plain, vectors[0])) < 1e-5
    ids = o.embeddings.create(model="m", input=[504, 2644]).data[0].embedding
    assert len(ids) == 576 and ids != plain
    raises(openai.BadRequestError, lambda: o.embeddings.create(model="m", input=texts, dimensions=64), "dimensions")
    raises(openai.BadRequestError, lambda: o.embeddings.create(model="m", input=["a", ""]), "input[1]")
    raises(openai.BadRequestError, lambda: o.embeddings.create(model="m", input="word " * 600), "512 are the most")


def openai_effort(o, _a, _s):
    ask = lambda effort: o.chat.completions.create(model="m", messages=CAPITAL, temperature=0, max_tokens=4, reasoning_effort=effort)
    assert ask("none").choices[0].message.content
    raises(openai.BadRequestError, lambda: ask("high"), "reasoning_effort", "no such control")


def openai_tools(o, _a, _s):
    ask = dict(model="m", tools=[WEATHER], temperature=0, max_tokens=60)
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    forced = {"type": "function", "function": {"name": "get_weather"}}
    answer = o.chat.completions.create(messages=messages, tool_choice=forced, parallel_tool_calls=False, **ask).choices[0]  # as LangChain does
    assert answer.finish_reason == "tool_calls" and answer.message.content is None, answer
    call = answer.message.tool_calls[0]
    assert call.function.name == "get_weather" and set(json.loads(call.function.arguments)) == {"city"}, call
    chunks = list(o.chat.completions.create(messages=messages, tool_choice="required", stream=True, **ask))
    deltas = [d for c in chunks for d in c.choices[0].delta.tool_calls or []]
    assert "".join(d.function.arguments for d in deltas) == call.function.arguments and deltas[0].id.startswith("call_")
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    messages += [answer.message.model_dump(exclude_none=True),
                 {"role": "tool", "tool_call_id": call.id, "content": "It is 21 degrees and sunny in Paris."}]
    last = o.chat.completions.create(messages=messages, tool_choice="none", **ask).choices[0]
    assert last.message.content and last.message.tool_calls is None, last
    raises(openai.BadRequestError, lambda: o.chat.completions.create(messages=messages, tool_choice={"type": "function", "function": {
        "name": "other"}}, **ask), "other")


def openai_schema(o, _a, _s):
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    ask = lambda form, **more: o.chat.completions.create(model="m", messages=[{"role": "user", "content": "Invent a person, as JSON."}],
                                                        temperature=1, response_format=form, max_tokens=120, **more)
    for seed in range(3):
        answer = ask(form, seed=seed).choices[0]
        person = json.loads(answer.message.content)
        assert answer.finish_reason == "stop" and set(person) == {"name", "age"} and 0 <= person["age"] <= 120, answer
    bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "format": "regex"}}}
    error = raises(openai.BadRequestError, lambda: ask(bad), "regex")
    assert error.body["param"] == "response_format.json_schema.schema", error.body


def openai_errors(o, _a, s):
    create = o.chat.completions.create
    error = raises(openai.NotFoundError, lambda: create(model="gpt-nothing", messages=CAPITAL), "gpt-nothing")
    assert error.code == "model_not_found" and error.param == "model"
    error = raises(openai.BadRequestError, lambda: create(model="m", messages=CAPITAL, n=2), "n:")
    assert error.param == "n"
    assert raises(openai.BadRequestError, lambda: create(model="m", messages=CAPITAL, temperature=9)).param == "temperature"
    assert raises(openai.BadRequestError, lambda: create(model="m", messages=[])).param == "messages"
    assert raises(openai.BadRequestError, lambda: create(model="m", messages=CAPITAL, top_logprobs=2)).param == "top_logprobs"
    assert raises(openai.BadRequestError, lambda: create(model="m", messages=CAPITAL, extra_body={"guided": 1})).param == "guided"
    raises(openai.BadRequestError, lambda: create(model="m", messages=[{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "http://x"}}]}]), "image_url")
    raises(openai.BadRequestError, lambda: o.completions.create(model="m", prompt=["a", "b"]), "several prompts")
    error = raises(openai.BadRequestError, lambda: create(model="m", messages=[{"role": "user", "content": "word " * 20000}]))
    assert error.code == "context_length_exceeded" and error.param == "messages", error.body
    plain = lambda **ask: raises(openai.BadRequestError, lambda: o.completions.create(model="m", **ask)).param
    assert plain(prompt="word " * 20000) == "prompt" and plain(prompt=[]) == "prompt" and plain(prompt=[99999999]) == "prompt"
    assert plain(prompt="") == "prompt"
    assert raises(openai.BadRequestError, lambda: create(model="m", messages=CAPITAL, logit_bias={"99999999": 1})).param == "logit_bias"
    assert raises(openai.BadRequestError, lambda: o.embeddings.create(model="m", input="word " * 600)).param == "input"
    assert raises(openai.BadRequestError, lambda: o.embeddings.create(model="m", input=[99999999])).param == "input"
    assert raises(openai.BadRequestError, lambda: create(model="m", messages=CAPITAL, top_p=0)).param == "top_p"
    wrong = openai.OpenAI(base_url=s.url + "/v1", api_key="wrong-key-000", max_retries=0)
    raises(openai.AuthenticationError, lambda: wrong.chat.completions.create(model="m", messages=CAPITAL))
    raw = o.chat.completions.with_raw_response.create(model="m", messages=CAPITAL, max_tokens=1, extra_headers={"x-request-id": "mine-1"})
    assert raw.headers["x-request-id"] == "mine-1"
    assert [m.id for m in o.models.list()] == ["m"] and o.models.retrieve("m").id == "m"
    raises(openai.NotFoundError, lambda: o.models.retrieve("x"))


def openai_cancel(o, _a, s):
    before = len(s.lines())
    stream = o.chat.completions.create(model="m", messages=LONG, temperature=0, max_tokens=4000, stream=True)
    for _, _ in zip(stream, range(5)):
        pass
    assert s.running() == 1
    stream.close()
    left = time.monotonic()
    while s.running() > 0:
        assert time.monotonic() - left < 2, "the engine went on after its client had left"
        time.sleep(0.001)
    print(f"  a stream that its client left was gone after {1e3 * (time.monotonic() - left):.1f} ms")
    while len(s.lines()) == before or not any("/chat/" in line["path"] for line in s.lines()[before:]):
        assert time.monotonic() - left < 10
        time.sleep(0.01)
    line = [line for line in s.lines()[before:] if "/chat/" in line["path"]][-1]
    assert line["abandoned"] and line["finish"] == "cancelled" and line["input_tokens"] > 0 and line["output_tokens"] > 3, line


def anthropic_messages(_o, a, _s):
    answer = a.messages.create(model="m", max_tokens=12, messages=CAPITAL, **COLD, system="You answer in one word.")
    assert answer.role == "assistant" and "Paris" in answer.content[0].text and answer.stop_reason in ("end_turn", "max_tokens")
    assert answer.usage.input_tokens + answer.usage.cache_read_input_tokens > 10 and answer.usage.output_tokens > 0
    counted = a.messages.count_tokens(model="m", messages=CAPITAL, system="You answer in one word.").input_tokens
    assert counted == answer.usage.input_tokens + answer.usage.cache_read_input_tokens + answer.usage.cache_creation_input_tokens
    with a.messages.stream(model="m", max_tokens=12, messages=CAPITAL, **COLD, system="You answer in one word.") as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == answer.content[0].text and final.stop_reason == answer.stop_reason
    usage = final.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == counted and usage.output_tokens == answer.usage.output_tokens, usage
    assert [m.id for m in a.models.list()] == ["m"]


def anthropic_stop(_o, a, _s):
    text = a.messages.create(model="m", max_tokens=40, messages=LONG, **COLD).content[0].text
    cut = a.messages.create(model="m", max_tokens=40, messages=LONG, **COLD, stop_sequences=[text[8:12]])
    assert cut.stop_reason == "stop_sequence" and cut.stop_sequence == text[8:12], cut
    assert a.messages.create(model="m", max_tokens=3, messages=LONG, **COLD).stop_reason == "max_tokens"


def anthropic_tools(_o, a, _s):
    tool = {"name": "get_weather", "description": "The weather in a city", "input_schema": WEATHER["function"]["parameters"]}
    ask = dict(model="m", max_tokens=60, tools=[tool], **COLD)
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = a.messages.create(messages=messages, tool_choice={"type": "tool", "name": "get_weather"}, **ask)
    assert answer.stop_reason == "tool_use" and answer.content[0].type == "tool_use", answer
    assert set(answer.content[0].input) == {"city"}
    with a.messages.stream(messages=messages, tool_choice={"type": "any"}, **ask) as stream:
        final = stream.get_final_message()
    assert final.content[0].input == answer.content[0].input and final.stop_reason == "tool_use"
    messages += [{"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in answer.content]},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": answer.content[0].id, "content": "21 degrees, sunny"}]}]
    last = a.messages.create(messages=messages, tool_choice={"type": "none"}, **ask)
    assert last.content[0].type == "text" and last.content[0].text


def anthropic_schema(_o, a, _s):
    answer = a.messages.create(model="m", max_tokens=120, messages=[{"role": "user", "content": "Invent a person, as JSON."}],
                               output_config={"format": {"type": "json_schema", "schema": PERSON}})
    assert set(json.loads(answer.content[0].text)) == {"name", "age"} and answer.stop_reason == "end_turn", answer


def anthropic_errors(_o, a, s):
    create = a.messages.create
    raises(anthropic.NotFoundError, lambda: create(model="x", max_tokens=1, messages=CAPITAL), "not_found_error")
    raises(anthropic.BadRequestError, lambda: create(model="m", max_tokens=0, messages=CAPITAL), "max_tokens")
    raises(anthropic.BadRequestError, lambda: create(model="m", max_tokens=1, messages=CAPITAL, extra_body={"temperature": 2}), "temperature")
    raises(anthropic.BadRequestError, lambda: create(model="m", max_tokens=1, messages=[{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": "http://x"}}]}]), "image")
    raises(anthropic.BadRequestError, lambda: create(model="m", max_tokens=1, messages=CAPITAL, thinking={
        "type": "enabled", "budget_tokens": 1024}), "thinking")
    wrong = anthropic.Anthropic(base_url=s.url, api_key="wrong-key-000", max_retries=0)
    raises(anthropic.AuthenticationError, lambda: wrong.messages.create(model="m", max_tokens=1, messages=CAPITAL), "authentication_error")


def many_clients(o, a, _s):
    def ask(i):
        text = [{"role": "user", "content": f"Name the number after {i}."}]
        if i % 4 == 3:
            with a.messages.stream(model="m", max_tokens=8, messages=text, **COLD) as stream:
                return "".join(stream.text_stream)
        if i % 2:
            return "".join(c.choices[0].delta.content or "" for c in o.chat.completions.create(
                model="m", messages=text, max_tokens=8, temperature=0, stream=True))
        return o.chat.completions.create(model="m", messages=text, max_tokens=8, temperature=0).choices[0].message.content
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        together = list(pool.map(ask, range(32)))
    assert all(together) and together[:8] == [ask(i) for i in range(8)]


def service(_o, _a, s):
    assert json.loads(s.get("/health", key=None)) == {"status": "ok"} and json.loads(s.get("/ready", key=None)) == {"status": "ok"}
    metrics = s.get("/metrics")
    assert metrics.endswith("# EOF\n") and "frugal_requests" in metrics, metrics[:400]
    line = [line for line in s.lines() if line["path"] == "/v1/chat/completions" and line["status"] == 200][0]
    assert line["input_tokens"] > 0 and line["output_tokens"] > 0 and line["total_ms"] > 0 and line["finish"] in ("stop", "length"), line


def drain(o, _a, s):
    """SIGTERM while 20 streams run: each of them ends with a finish."""
    begun, ends = threading.Barrier(21), []

    def read(i):
        stream = o.chat.completions.create(model="m", messages=[{"role": "user", "content": f"{PROMPT}: a story about {i} ships."}],
                                           temperature=0, max_tokens=48, stream=True)
        first = next(stream)
        begun.wait(60)
        ends.append([c.choices[0].finish_reason for c in [first, *stream] if c.choices][-1])
    threads = [threading.Thread(target=read, args=(i,)) for i in range(20)]
    for t in threads:
        t.start()
    begun.wait(60)
    s.process.terminate()
    for t in threads:
        t.join(60)  # what is answered meanwhile: server_test.cpp
    assert len(ends) == 20 and set(ends) <= {"stop", "length"}, ends
    assert s.stop() == 0
    s.check_silence()


TESTS = [openai_chat, openai_stream, openai_seed, openai_stop, openai_logprobs, openai_completions, openai_embeddings, openai_effort, openai_tools, openai_schema, openai_errors,
         openai_cancel, anthropic_messages, anthropic_stop, anthropic_tools, anthropic_schema, anthropic_errors, many_clients, service, drain]


def config(folder):
    file = pathlib.Path(folder) / "serve.json"
    file.write_text(json.dumps({"models": [{"name": "m", "path": MODEL, "embeddings": "mean"}]}))
    return file


def main():
    wanted = sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder, Serving(PROGRAM, folder, "--config", str(config(folder)), "--quiet") as s:
        o = openai.OpenAI(base_url=s.url + "/v1", api_key=KEY, max_retries=0, timeout=120)
        a = anthropic.Anthropic(base_url=s.url, api_key=KEY, max_retries=0, timeout=120)
        o.chat.completions.create(model="m", messages=[{"role": "user", "content": PROMPT}], max_tokens=2)
        for test in TESTS:
            if wanted and test.__name__ not in wanted:
                continue
            start = time.monotonic()
            test(o, a, s)
            print(f"{test.__name__}: passed in {time.monotonic() - start:.2f} s", flush=True)


main()
