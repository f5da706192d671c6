// Heads: the file, the fit, the states they read, and the endpoint that serves them.
#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/head/embedding_endpoint.hpp>
#include <frugal/head/head_endpoint.hpp>
#include <frugal/head/train.hpp>
#include <frugal/policy/cascade.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>
#include <thread>

#include "head/softmax.hpp"
#include "head/states.hpp"
#include "support/error_of.hpp"
#include "support/manual_clock.hpp"
#include "support/tiny_model.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

// Texts whose letters tell the label: vowels or consonants.
std::vector<HeadExample> letters(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<HeadExample> out;
  for (std::size_t i = 0; i < n; ++i) {
    const bool vowels = i < n / 2;  // sorted by label, as files are
    const std::string_view from = vowels ? "aeiouy" : "bcdfgk";
    std::string text;
    for (std::size_t k = 3 + random() % 12; k > 0; --k)
      text += random() % 8 == 0 ? static_cast<char>('a' + random() % 26) : from[random() % from.size()];
    out.push_back({text, vowels ? "vowels" : "consonants"});
  }
  return out;
}

const HeadTraining quick{.layers = {1, 2}, .selection_most = 150};

Head trained(const std::shared_ptr<const Model>& model) {
  return train_head(model, reference_backend(), letters(300, 1), quick);
}

HeadParts small_parts() {
  HeadParts p;
  p.labels = {"no", "yes"};
  p.layers = 1, p.most_tokens = 16;
  p.weights = {1, 0, -1, 2};
  p.bias = {0.5F, -0.5F};
  return p;
}

HeadEndpointOptions serving(const std::shared_ptr<const Head>& head, const std::shared_ptr<const Model>& model) {
  HeadEndpointOptions o;
  o.head = head;
  o.model = model;
  o.backend = reference_backend();
  return o;
}

Request asking(std::string text) {
  Request request{
      Chat{.messages = {{.role = "system", .content = "Which?"}, {.role = "user", .content = std::move(text)}}}};
  request.scores = true;
  return request;
}

}  // namespace

TEST_CASE("pooled states do not depend on the texts beside them, nor on how the frame's beginning is cached") {
  const auto model = tiny_model({.layers = 3, .context = 512});
  const std::string before(37, 'q');  // two whole pages, and five tokens that are read with each text
  head::States together(model, reference_backend(), {before, "?", 100}, 400);
  CHECK(together.cached() == 32);
  std::vector<std::vector<Token>> texts;
  for (const char* text : {"a", "some longer text, to fill a page or two", "b c", "zzzz"})
    texts.push_back(together.tokens(text).value());
  std::vector<const std::vector<Token>*> all;
  for (const auto& t : texts) all.push_back(&t);
  for (const std::uint32_t layers : {1U, 3U, 2U}) {
    const auto batch = together.pass(all, layers);
    for (std::size_t i = 0; i < all.size(); ++i) {
      head::States alone(model, reference_backend(), {before, "?", 100}, 64);
      const auto single = alone.pass(std::span(all).subspan(i, 1), layers);
      CHECK(batch[i].mean == single[0].mean);
      CHECK(batch[i].last == single[0].last);
      const auto ends = alone.pass(std::span(all).subspan(i, 1), layers, Pool::last);
      CHECK(ends[0].last == batch[i].last);
      CHECK(ends[0].mean.empty());
    }
  }
  CHECK(together.tokens(std::string(300, 'x')).value().size() == 101);  // cut, with the frame's end
}

TEST_CASE("texts are put into passes by their rows, and one that is too long for others gets its own") {
  const auto model = tiny_model();
  head::States states(model, reference_backend(), {"", "", 100}, 50);
  const std::vector<Token> short_text(20), long_text(90);
  const std::vector<const std::vector<Token>*> texts{&short_text, &short_text, &short_text, &long_text};
  CHECK(states.fitting(texts) == 2);
  CHECK(states.fitting(std::span(texts).subspan(2)) == 1);
  CHECK(states.fitting(std::span(texts).subspan(3)) == 1);
  CHECK(states.pass(std::span(texts).subspan(3), 1).size() == 1);
  const std::vector<Token> one(1);
  const std::vector<const std::vector<Token>*> many(100, &one);
  CHECK(states.fitting(many) == 50);
}

TEST_CASE("a softmax fit has no slope left, and a stronger penalty gives smaller weights") {
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal;
  head::Matrix x(200, 5);
  std::vector<std::size_t> labels;
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    labels.push_back(static_cast<std::size_t>(random() % 3));
    for (Eigen::Index c = 0; c < 5; ++c) x(i, c) = normal(random) + (c == Eigen::Index(labels.back()) ? 1.0F : 0.0F);
  }
  const auto slope = [&](const head::Softmax& m, double penalty) {
    head::Matrix p = m.logits(x);
    for (Eigen::Index i = 0; i < p.rows(); ++i) {
      p.row(i) = (p.row(i).array() - p.row(i).maxCoeff()).exp();
      p.row(i) /= p.row(i).sum();
      p(i, Eigen::Index(labels[std::size_t(i)])) -= 1;
    }
    return (head::Matrix(x.transpose() * p) + float(penalty) * m.weights).norm();
  };
  const head::Softmax weak = head::fit_softmax(x, labels, 3, 1), strong = head::fit_softmax(x, labels, 3, 100);
  CHECK(slope(weak, 1) < 0.05);
  CHECK(slope(strong, 100) < 0.05);
  CHECK(strong.weights.norm() < weak.weights.norm());
  CHECK((head::fit_softmax(x, labels, 3, 1, strong).weights - weak.weights).norm() < 0.02);  // wherever it starts
  const double t = head::fit_temperature(weak.logits(x), labels);
  CHECK(std::abs(t - 1) < 0.1);
  CHECK(std::abs(head::fit_temperature(head::Matrix(weak.logits(x) * 3.0F), labels) - 3 * t) < 0.05);
}

TEST_CASE("a head is trained from sorted texts, measured on unseen ones, and says where it comes from") {
  const auto model = tiny_model({.layers = 2});
  const Head head = trained(model);
  const HeadParts& p = head.parts();
  CHECK(p.labels == std::vector<std::string>{"consonants", "vowels"});
  CHECK(p.origin.validation.accuracy > 0.85);
  CHECK(p.origin.test.accuracy > 0.85);
  CHECK(p.origin.test.n > 20);
  CHECK(p.origin.model_fingerprint == model->fingerprint());
  CHECK(p.origin.examples == 300);
  const std::vector<HeadExample> fresh = letters(200, 99);
  std::vector<std::string> texts;
  for (const HeadExample& e : fresh) texts.push_back(e.text);
  const HeadMetrics m = measure(head, classify(head, model, reference_backend(), texts), fresh);
  CHECK(m.accuracy > 0.85);
  CHECK(m.majority == 0.5);
  CHECK(m.log_loss < 0.5);
  CHECK(m.calibration_error < 0.15);
  CHECK(trained(model).to_bytes() == head.to_bytes());  // the same data and seed give the same bytes
}

TEST_CASE("a head that was chosen among many is the one that training with its layers and pool alone gives") {
  const auto model = tiny_model({.layers = 2});
  const Head head = trained(model);
  HeadTraining alone = quick;
  for (const std::size_t most :
       {std::size_t{150}, std::size_t{20}, std::size_t{1000}}) {  // fewer or more of them by the choice
    alone.layers = {head.parts().layers}, alone.pools = {head.parts().pool}, alone.selection_most = most;
    const Head again = train_head(model, reference_backend(), letters(300, 1), alone);
    CHECK(again.parts().weights == head.parts().weights);
    CHECK(again.parts().temperature == head.parts().temperature);
    CHECK(again.parts().origin.test.accuracy == head.parts().origin.test.accuracy);
  }
}

TEST_CASE("a head's file gives back the same head; another model, or changed bytes, is refused") {
  const auto model = tiny_model({.layers = 2});
  const Head head = trained(model);
  const std::string bytes = head.to_bytes();
  const Head again = Head::from_bytes(bytes, "h");
  CHECK(again.to_bytes() == bytes);
  CHECK(again.identity() == head.identity());
  again.check_model(*model);
  const auto other = tiny_model({.layers = 2, .seed = 2});
  CHECK(mentions(error_of([&] { again.check_model(*other); }), "another model's states mean something else"));
  CHECK(mentions(error_of([&] { (void)classify(head, other, reference_backend(), {"a"}); }), "it was trained on"));
  std::size_t refused = 0, tried = 0;
  for (std::size_t at = 8; at < bytes.size(); at += 37) {
    std::string broken = bytes;
    broken[at] = static_cast<char>(broken[at] ^ 4);
    ++tried;
    try {
      refused +=
          Head::from_bytes(broken, "h").to_bytes() == bytes ? 1 : 0;  // white space between the header and the data
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused == tried);
  for (std::size_t n = 0; n < bytes.size(); n += 61)
    CHECK(error_of([&] { (void)Head::from_bytes(bytes.substr(0, n), "h"); }).code() == Errc::bad_file);
}

TEST_CASE("parts that contradict each other make no head") {
  const auto refused = [](const auto& change, const char* what) {
    HeadParts p = small_parts();
    change(p);
    CHECK(mentions(error_of([&] { Head head(p); }), what));
  };
  refused([](HeadParts& p) { p.labels = {"a", "a"}; }, "all different");
  refused([](HeadParts& p) { p.labels = {"a"}; }, "two labels");
  refused([](HeadParts& p) { p.weights.pop_back(); }, "do not fit");
  refused([](HeadParts& p) { p.weights[1] = NAN; }, "not finite");
  refused([](HeadParts& p) { p.temperature = 0; }, "temperature");
  refused([](HeadParts& p) { p.layers = 0; }, "layers is 0");
  const Head head(small_parts());
  const std::vector<float> state{1, 1};
  const std::vector<double> p = head.probabilities(state);
  CHECK(std::abs(p[1] - 1 / (1 + std::exp(1.5 - 0.5))) < 1e-6);  // logits 1.5 and 0.5
  CHECK(mentions(error_of([&] { (void)head.probabilities(std::vector<float>{1}); }), "1 inputs, not 2"));
}

TEST_CASE("training refuses what cannot be trained on") {
  const auto model = tiny_model();
  const auto refused = [&](std::vector<HeadExample> examples, const HeadTraining& t, const char* what) {
    const Error error = error_of([&] { (void)train_head(model, reference_backend(), examples, t); });
    CAPTURE(error.message());
    CHECK(error.code() == Errc::invalid_argument);
    CHECK(mentions(error, what));
  };
  refused(letters(10, 1), quick, "only 10 examples");
  std::vector<HeadExample> same = letters(40, 1);
  for (HeadExample& e : same) e.label = "vowels";
  refused(same, quick, "all examples have the label \"vowels\"");
  same[3].label = "rare";
  refused(same, quick, "\"rare\" has only 1 examples");
  refused(letters(40, 1), {.layers = {9}}, "layer 9 of a model with 2");
  refused(letters(40, 1), {.validation_share = 0}, "validation share");
  refused(letters(40, 1), {.most_tokens = 100000}, "does not fit");
}

TEST_CASE("an endpoint answers with the label, all probabilities and a ledger whose sums hold") {
  const auto model = tiny_model({.layers = 2});
  const auto head = std::make_shared<const Head>(trained(model));
  HeadEndpoint endpoint(serving(head, model));
  const Answer answer = endpoint.run(asking("aeiou aeiou"));
  REQUIRE(answer.finish.reason == FinishReason::stop);
  CHECK(answer.text == "vowels");
  REQUIRE(answer.scores.size() == 1);
  CHECK(answer.scores[0].top.size() == 2);
  const double p0 = std::exp(double(answer.scores[0].top[0].logprob)),
               p1 = std::exp(double(answer.scores[0].top[1].logprob));
  CHECK(std::abs(p0 + p1 - 1) < 1e-5);
  CHECK(std::abs(double(answer.scores[0].margin) - (p0 - p1)) < 1e-5);
  CHECK(answer.finish.usage.input == 11);
  CHECK(answer.finish.ledger.consistent());
  CHECK(answer.finish.vocabulary != 0);
  CHECK(classify(*head, model, reference_backend(), {"aeiou aeiou"})[0].probability[1] ==
        classify(*head, model, reference_backend(), {"bcdf", "aeiou aeiou"})[1].probability[1]);
}

TEST_CASE("requests that wait share a pass and get the answers they would get alone") {
  const auto model = tiny_model({.layers = 2});
  const auto head = std::make_shared<const Head>(trained(model));
  std::vector<Answer> alone;
  const std::vector<std::string> texts{"aeiou", "bcdfg and more", "kkk", "ooo ooo"};
  HeadEndpoint endpoint(serving(head, model));
  for (const std::string& t : texts) alone.push_back(endpoint.run(asking(t)));
  std::vector<Stream> streams;
  for (const std::string& t : texts) streams.push_back(endpoint.submit(asking(t)));
  CHECK(endpoint.load().waiting == 4);
  CHECK(endpoint.step() == Progress::worked);
  CHECK(endpoint.load().waiting == 0);
  CHECK(endpoint.step() == Progress::idle);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Answer a = streams[i].wait();
    CHECK(a.text == alone[i].text);
    CHECK(a.scores[0].logprob == alone[i].scores[0].logprob);
  }
}

TEST_CASE("many threads that ask one endpoint all get their answers") {
  const auto model = tiny_model({.layers = 2});
  HeadEndpoint endpoint(serving(std::make_shared<const Head>(trained(model)), model));
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i)
        right += endpoint.run(asking(t % 2 == 0 ? "aeiouaeiou" : "bcdfgkbcdf")).text ==
                 (t % 2 == 0 ? "vowels" : "consonants");
    });
  for (std::thread& t : threads) t.join();
  CHECK(right == 80);
}

TEST_CASE("a constraint leaves only the labels it allows, and one that allows none is refused") {
  const auto model = tiny_model({.layers = 2});
  HeadEndpoint endpoint(serving(std::make_shared<const Head>(trained(model)), model));
  Request request = asking("aeiou aeiou");
  request.constraint = grammar::choice({"consonants", "digits"});
  const Answer answer = endpoint.run(request);
  CHECK(answer.text == "consonants");
  CHECK(answer.scores[0].logprob == 0);
  request.constraint = grammar::choice({"digits"});
  const Answer none = endpoint.run(request);
  CHECK(none.finish.reason == FinishReason::refused);
  CHECK(mentions(*none.finish.error, "allows none of the head's labels"));
}

TEST_CASE("what a head cannot do is refused, and a full queue too") {
  const auto model = tiny_model({.layers = 2});
  HeadEndpointOptions o = serving(std::make_shared<const Head>(trained(model)), model);
  o.max_waiting = 1;
  HeadEndpoint endpoint(o);
  const auto refused = [&](const Request& request, const char* what) {
    const Finish end = endpoint.run(request).finish;
    CHECK(end.reason == FinishReason::refused);
    CHECK(mentions(*end.error, what));
  };
  refused(Request{TokenPrompt{{1, 2}}}, "prompt of tokens");
  Request adapted = asking("a");
  adapted.adapter = "x";
  refused(adapted, "adapters");
  Request other = asking("a");
  other.model = "gpt";
  refused(other, "asks for \"gpt\"");
  refused(Request{RawPrompt{""}}, "empty");
  Stream waiting = endpoint.submit(asking("a"));
  refused(asking("b"), "max_waiting");
  CHECK(waiting.wait().finish.reason == FinishReason::stop);
  o.model = tiny_model({.layers = 2, .seed = 5});
  o.backend = reference_backend();
  CHECK(mentions(error_of([&] { HeadEndpoint wrong(o); }), "it was trained on"));
}

TEST_CASE("a pass that fails, a cancelled request, a deadline and a destroyed endpoint each end in a Finish") {
  const auto model = tiny_model({.layers = 2});
  const auto head = std::make_shared<const Head>(trained(model));
  ManualClock clock;
  HeadEndpointOptions o = serving(head, model);
  o.clock = &clock;
  auto endpoint = std::make_unique<HeadEndpoint>(o);
  Stream cancelled = endpoint->submit(asking("a"));
  cancelled.cancel();
  Request late = asking("a");
  late.deadline = clock.now() + std::chrono::seconds(1);
  Stream deadline = endpoint->submit(late);
  clock.advance(std::chrono::seconds(2));
  CHECK(endpoint->step() == Progress::worked);
  CHECK(cancelled.wait().finish.reason == FinishReason::cancelled);
  CHECK(deadline.wait().finish.reason == FinishReason::deadline);
  Stream left = endpoint->submit(asking("a"));
  endpoint.reset();
  CHECK(left.wait().finish.reason == FinishReason::cancelled);

  struct Failing final : BackendWrapper {
    using BackendWrapper::BackendWrapper;
    void forward(const Batch&) override { throw Error(Errc::device, "the device is gone"); }
  };
  HeadEndpointOptions broken = serving(head, model);
  broken.backend = std::make_shared<Failing>(reference_backend());
  HeadEndpoint failing(broken);
  const Finish end = failing.run(asking("a")).finish;
  CHECK(end.reason == FinishReason::error);
  CHECK(end.error->code() == Errc::device);
}

namespace {

EmbeddingEndpointOptions embedding(const std::shared_ptr<const Model>& model) {
  EmbeddingEndpointOptions o;
  o.model = model;
  o.backend = reference_backend();
  o.most_tokens = 64;
  return o;
}

Request embed(const std::vector<std::string>& texts) {
  Chat chat;
  for (const std::string& text : texts) chat.messages.push_back({.role = "user", .content = text});
  return Request{chat};
}

}  // namespace

TEST_CASE("embeddings are the mean of the normed states, of length 1, whatever stands beside them") {
  const auto model = tiny_model({.layers = 3, .context = 512});
  EmbeddingEndpoint endpoint(embedding(model));
  const Answer answer = endpoint.run(embed({"some text", "b", "another, longer text than the first"}));
  REQUIRE(answer.finish.reason == FinishReason::stop);
  CHECK(answer.finish.usage == Usage{.input = 9 + 1 + 35});
  CHECK(answer.finish.ledger.consistent());
  const auto vectors = embeddings_of(answer.text).value();
  REQUIRE(vectors.size() == 3);
  head::States states(model, reference_backend(), {.most_tokens = 64, .normed = true}, 64);
  const std::vector<Token> tokens = states.tokens("some text").value();
  const std::vector<const std::vector<Token>*> alone{&tokens};
  const std::vector<float> mean = states.pass(alone, 3).at(0).mean;
  double squares = 0, length = 0;
  for (const float x : mean) squares += double(x) * double(x);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    CHECK(std::abs(vectors[0][i] - mean[i] / std::sqrt(squares)) < 1e-6);
    length += double(vectors[0][i]) * double(vectors[0][i]);
  }
  CHECK(std::abs(length - 1) < 1e-6);
  // one text alone, in any of three spellings, gives the same vector
  const Answer raw = endpoint.run(Request{RawPrompt{"some text"}}), ids = endpoint.run(Request{TokenPrompt{tokens}});
  for (const Answer* one : {&raw, &ids}) {
    const auto same = embeddings_of(one->text).value().at(0);
    for (std::size_t i = 0; i < same.size(); ++i) CHECK(std::abs(same[i] - vectors[0][i]) < 1e-5);
  }
  EmbeddingEndpointOptions last = embedding(model);
  last.pool = Pool::last;
  CHECK(EmbeddingEndpoint(std::move(last)).run(embed({"some text"})).text != raw.text);
}

TEST_CASE("many texts take several passes, in order, and many threads may ask") {
  const auto model = tiny_model({.layers = 1});
  EmbeddingEndpointOptions o = embedding(model);
  o.batch_tokens = 64;
  EmbeddingEndpoint endpoint(std::move(o));
  std::vector<std::string> texts;
  for (int i = 0; i < 100; ++i) texts.push_back("text " + std::to_string(i % 7));
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      const auto vectors = embeddings_of(endpoint.run(embed(texts)).text).value();
      bool fine = vectors.size() == 100;
      for (std::size_t i = 7; fine && i < 100; ++i)
        for (std::size_t k = 0; k < vectors[i].size(); ++k) fine &= std::abs(vectors[i][k] - vectors[i - 7][k]) < 1e-5;
      right += fine ? 1 : 0;
    });
  for (std::thread& t : threads) t.join();
  CHECK(right == 4);
  CHECK(endpoint.load().waiting == 0);
}

TEST_CASE("what cannot be embedded is refused with the input's number, and a queue has an end") {
  const auto model = tiny_model({.layers = 1});
  EmbeddingEndpointOptions o = embedding(model);
  o.max_waiting = 3;
  ManualClock clock;
  o.clock = &clock;
  EmbeddingEndpoint endpoint(std::move(o));
  const auto error = [&](Request r) { return endpoint.run(std::move(r)).finish.error.value(); };
  CHECK(error(embed({"a", std::string(65, 'x')})).message().find("input 1: the text has 65 tokens, and 64") !=
        std::string::npos);
  CHECK(error(embed({"a", std::string(65, 'x')})).code() == Errc::too_large);
  CHECK(error(embed({""})).message().find("input 0") != std::string::npos);
  CHECK(error(embed({})).code() == Errc::invalid_argument);
  CHECK(error(Request{TokenPrompt{{5000}}}).code() == Errc::invalid_argument);
  CHECK(error(embed({"a", "b", "c", "d"})).code() == Errc::busy);
  Request other = embed({"a"});
  other.model = "someone";
  CHECK(error(std::move(other)).code() == Errc::invalid_argument);
  Stream gone = endpoint.submit(embed({"a", "b"}));
  gone.cancel();
  CHECK(gone.wait().finish.reason == FinishReason::cancelled);
  Request late = embed({"a"});
  late.deadline = clock.now();
  CHECK(endpoint.run(std::move(late)).finish.reason == FinishReason::deadline);
  CHECK(endpoint.run(embed({"a"})).finish.reason == FinishReason::stop);
  CHECK_FALSE(embeddings_of("no vector"));
  EmbeddingEndpointOptions both = embedding(model);
  both.pool = Pool::both;
  CHECK(error_of([&] { EmbeddingEndpoint e(std::move(both)); }).message().find("pool") != std::string::npos);
}
