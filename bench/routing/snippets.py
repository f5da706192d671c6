"""snippets.py FOLDER OUT: the labelled texts of docs/heads.md from vaderSentiment's ground truth (FOLDER/hutto_ICWSM_2014, inside the source
archive of vaderSentiment 3.3.2). Film snippets and tweets with a mean score of at least 1 either way; a film snippet is in the test set where
a hash of its text says so, fixed before anything is trained. Writes OUT/{train,test,tweets}.jsonl for heads and OUT/questions-{film,tweets}.jsonl
for `frugal cascade record`: a conversation with an instruction and three examples, of which a head reads the last message only."""
import hashlib
import html
import json
import pathlib
import random
import sys

TEST_SHARE = 0.35
INSTRUCTION = "You classify the sentiment of short texts. Answer with one word: positive or negative."
EXAMPLES = [("A warm, funny and beautifully acted film.", "positive"), ("The plot is a mess and the jokes fall flat.", "negative"),
            ("It never quite comes to life, and two hours feel like four.", "negative")]


def place(text):
    return int(hashlib.sha256(("frugal split 1:" + text).encode()).hexdigest()[:8], 16) / 2**32


def snippets(path, kind):
    for line in path.read_text(encoding="latin-1").splitlines():
        number, score, text = line.split("\t", 2)
        text = html.unescape(text).strip()
        if abs(float(score)) >= 1 and text:
            yield {"id": f"{kind}-{number}", "text": text, "label": "positive" if float(score) > 0 else "negative"}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(path, len(rows))


def conversation(text):
    turns = [{"role": "system", "content": INSTRUCTION}]
    for asked, answered in EXAMPLES:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return turns + [{"role": "user", "content": text}]


def questions(rows, kind):
    rows = [{"id": r["id"], "type": kind, "messages": conversation(r["text"]), "expected": r["label"]} for r in rows]
    random.Random(7).shuffle(rows)  # the files are sorted by label
    return rows


def main():
    source, out = pathlib.Path(sys.argv[1]) / "hutto_ICWSM_2014", pathlib.Path(sys.argv[2])
    films = list(snippets(source / "movieReviewSnippets_GroundTruth.txt", "film"))
    tweets = list(snippets(source / "tweets_GroundTruth.txt", "tweet"))
    train = [r for r in films if place(r["text"]) >= TEST_SHARE]
    seen = {r["text"] for r in train}
    test = [r for r in films if place(r["text"]) < TEST_SHARE and r["text"] not in seen]
    write(out / "train.jsonl", train)
    write(out / "test.jsonl", test)
    write(out / "tweets.jsonl", tweets)
    write(out / "questions-film.jsonl", questions(test, "film"))
    write(out / "questions-tweets.jsonl", questions(tweets, "tweet"))


main()
