// Heads that read a text's words beside its states.
#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#include <frugal/head/embed.hpp>
#include <frugal/head/head_endpoint.hpp>
#include <frugal/head/train.hpp>
#include <frugal/model/identity.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <random>

#include "head/softmax.hpp"
#include "head/words.hpp"
#include "support/error_of.hpp"
#include "support/tiny_model.hpp"

using namespace frugal;
using namespace frugal::testing;

TEST_CASE("words: a bag counts words and pairs, without regard to case, and all bags are of one length") {
  const head::WordBag bag = head::bag_of("Not good, not good!", 1U << 16);
  CHECK(bag.places.size() == 4 + 4);  // not good , !; and not-good, which is there twice, good-, ,-not good-!
  double squares = 0;
  for (const float v : bag.values) squares += static_cast<double>(v) * static_cast<double>(v);
  const head::WordBag same = head::bag_of("NOT  GOOD ,not good!", 1U << 16);
  CHECK(same.places == bag.places);
  CHECK(same.values == bag.values);
  CHECK(std::is_sorted(bag.places.begin(), bag.places.end()));
  const head::WordBag other = head::bag_of("x", 1U << 16);
  CHECK(std::abs(std::sqrt(squares) - static_cast<double>(other.values[0])) < 1e-3);
  CHECK(head::bag_of("", 16).places.empty());
  CHECK(head::bag_of("a b", 0).places.empty());
  CHECK(head::bag_of(std::string(1U << 20, 'q'), 16).places.size() == 1);
}

TEST_CASE("a fit on states and words has no slope left, and scaling states leaves words alone") {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal;
  head::Matrix x(60, 3);
  std::vector<std::size_t> labels;
  std::vector<head::WordBag> bags;
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    labels.push_back(static_cast<std::size_t>(random() % 2));
    for (Eigen::Index c = 0; c < 3; ++c) x(i, c) = 4 + 2 * normal(random);
    bags.push_back({{static_cast<std::uint32_t>(labels.back()), 3}, {1, 0.5F}});
  }
  const head::Scaling scaling(x);
  const head::Matrix scaled = scaling.apply(x);
  const head::Softmax fitted = head::fit_softmax({scaled, {bags, 4}}, labels, 2, 2);
  CHECK(fitted.weights.rows() == 3 + 4);
  head::Matrix p = fitted.logits({scaled, {bags, 4}});
  CHECK((scaling.unscaled(fitted).logits({x, {bags, 4}}) - p).norm() < 1e-3F);
  for (Eigen::Index i = 0; i < p.rows(); ++i) {
    p.row(i) = (p.row(i).array() - p.row(i).maxCoeff()).exp();
    p.row(i) /= p.row(i).sum();
    p(i, Eigen::Index(labels[std::size_t(i)])) -= 1;
  }
  head::Matrix slope = 2.0F * fitted.weights;
  slope.topRows(3) += scaled.transpose() * p;
  for (std::size_t i = 0; i < bags.size(); ++i)
    for (std::size_t k = 0; k < 2; ++k)
      slope.row(3 + Eigen::Index(bags[i].places[k])) += bags[i].values[k] * p.row(Eigen::Index(i));
  CHECK(slope.norm() < 0.05F);
}

TEST_CASE("a head that reads words knows what one layer cannot, serves it, and its file keeps it") {
  const auto model = tiny_model({.layers = 2});
  std::vector<HeadExample> examples;
  std::mt19937_64 random(9);
  for (int i = 0; i < 400; ++i) {  // the label is in one word among many
    const bool good = i % 2 == 0;
    std::vector<std::string> words(8);
    for (std::string& w : words) w = std::string("w") + std::to_string(random() % 30);
    words[random() % 8] = good ? "fine" : "poor";
    std::string text;
    for (const std::string& w : words) text += w + " ";
    examples.push_back({text, good ? "good" : "bad"});
  }
  const HeadTraining quick{.layers = {1, 2}, .selection_most = 150};
  HeadTraining with = quick;
  with.words = true;
  const auto head = std::make_shared<const Head>(train_head(model, reference_backend(), examples, with));
  const Head without = train_head(model, reference_backend(), examples, quick);
  CHECK(head->parts().origin.test.accuracy > 0.95);
  CHECK(without.parts().origin.test.accuracy < head->parts().origin.test.accuracy);
  const Head again = Head::from_bytes(head->to_bytes(), "h");
  CHECK(again.to_bytes() == head->to_bytes());
  CHECK(again.parts().words == head->parts().words);
  HeadEndpoint endpoint({.head = head, .model = model, .backend = reference_backend()});
  const std::string text = "w1 w2 fine w3 w4";
  Request request{RawPrompt{text}};
  request.scores = true;
  const Answer answer = endpoint.run(std::move(request));
  CHECK(answer.text == "good");
  const double p = classify(*head, model, reference_backend(), {text})[0].probability[1];
  CHECK(std::abs(std::exp(static_cast<double>(answer.scores[0].logprob)) - p) < 1e-5);
  HeadParts parts = head->parts();
  parts.words.pop_back();
  CHECK(mentions(error_of([&] { Head broken(parts); }), "weights of words"));
}

TEST_CASE("stop words leave a text where they stand alone, whatever their case and the marks around them") {
  const std::vector<std::string> stop{"\"", ",", "a", "it's", "of", "the"};  // in order
  const auto left = [&](std::string_view text) { return head::without_stop_words(text, stop); };
  CHECK(left("The plot of the film, a mess.") == "plot film mess.");
  CHECK(left("  IT'S  \n good,\tthough; ") == "good though;");  // a semicolon is not listed
  CHECK(left("(the) \"the\" the!") == "(the) \"the\" the!");    // nothing would be left
  CHECK(left("often theme A-list, well-of") == "often theme A-list well-of");
  CHECK(left(", , x \",") == "x");
  CHECK(left("") == "");
  CHECK(left("... the") == "...");
  const std::vector<std::string>& english = english_stop_words();
  for (const char* kept : {"not", "no", "but", "never", "too", "very", "more", "without", "only", "n't"})
    CHECK(std::find(english.begin(), english.end(), kept) == english.end());
}

TEST_CASE("a head with stop words reads what is left, in training and when it serves, and its file keeps them") {
  const auto model = tiny_model({.layers = 2});
  std::vector<HeadExample> examples;
  for (int i = 0; i < 60; ++i)
    examples.push_back(
        {(i % 2 == 0 ? "the good of a " : "a bad the of ") + std::to_string(i), i % 2 == 0 ? "good" : "bad"});
  const HeadTraining training{.layers = {2}, .pools = {Pool::last}, .stop_words = {"the", "of", "a"}, .test_share = 0};
  const auto head = std::make_shared<const Head>(train_head(model, reference_backend(), examples, training));
  CHECK(Head::from_bytes(head->to_bytes(), "x").parts().stop_words == training.stop_words);
  HeadParts parts = head->parts();
  parts.stop_words.clear();
  const Head plain(parts);
  CHECK(plain.identity() != head->identity());
  const std::vector<std::string> whole{"the good of THE a", "a, bad"}, thin{"good", "bad"};
  const auto a = classify(*head, model, reference_backend(), whole),
             b = classify(plain, model, reference_backend(), thin);
  for (std::size_t i = 0; i < 2; ++i) CHECK(a[i].probability == b[i].probability);
  HeadEndpoint endpoint({.head = head, .model = model, .backend = reference_backend()});
  Request request;
  request.prompt = RawPrompt{whole[0]};
  request.scores = true;
  const Answer answer = endpoint.run(std::move(request));
  CHECK(std::abs(std::exp(static_cast<double>(answer.scores[0].logprob)) - a[0].probability[a[0].label]) < 1e-5);
  for (const char* odd : {"", "The", "two words"}) {
    parts.stop_words = {odd};
    CHECK(mentions(error_of([&] { Head broken(parts); }), "stop word"));
  }
}

TEST_CASE("an embedder gives the mean state of a text, whatever was asked before, and nothing for an empty text") {
  const auto model = tiny_model({.layers = 2});
  const auto embed = text_embedder(model, reference_backend(), 1, 16);
  const std::vector<float> once = embed("some text");
  CHECK(once.size() == model->spec().d_model);
  CHECK(embed("another, longer than sixteen tokens") != once);
  CHECK(embed("some text") == once);
  CHECK(embed("").empty());
  CHECK(mentions(error_of([&] { (void)text_embedder(model, reference_backend(), 3); }), "layer 3 of a model with 2"));
  CHECK(mentions(error_of([&] { (void)text_embedder(nullptr, reference_backend(), 1); }), "no model"));
}

TEST_CASE("an embedder says what it is, and takes the mean or the last token's state") {
  const auto model = tiny_model({.layers = 2});
  const Embedder mean = hidden_embedder(model, reference_backend(), {.layers = 2, .most_tokens = 16});
  const Embedder last =
      hidden_embedder(model, reference_backend(), {.layers = 2, .pool = Pool::last, .most_tokens = 16});
  CHECK(mean.identity == model_identity(*model) + " layers=2 pool=mean tokens=16");
  CHECK(last.identity == model_identity(*model) + " layers=2 pool=last tokens=16");
  CHECK(last.embed("some text").size() == model->spec().d_model);
  CHECK(last.embed("some text") != mean.embed("some text"));
  const std::string one(1, 'a');  // one token: its mean is its last
  CHECK(last.embed(one) == mean.embed(one));
  CHECK(
      mentions(error_of([&] { (void)hidden_embedder(model, reference_backend(), {.layers = 1, .pool = Pool::both}); }),
               "mean or last"));
}

TEST_CASE("the state behind an embedder's name is found again, for the same model only") {
  const auto model = tiny_model({.layers = 2});
  const HiddenState state{.layers = 2, .pool = Pool::last, .most_tokens = 77};
  const std::string name = hidden_embedder(model, reference_backend(), state).identity;
  const std::optional<HiddenState> found = hidden_state_of(name, *model);
  REQUIRE(found);
  CHECK(found->layers == 2);
  CHECK(found->pool == Pool::last);
  CHECK(found->most_tokens == 77);
  CHECK_FALSE(hidden_state_of(name, *tiny_model({.layers = 3})));
  for (const char* other : {"", "mine", " layers=2 pool=last tokens=77"}) CHECK_FALSE(hidden_state_of(other, *model));
  for (const char* more : {"0", " ", "x", " pool=mean"}) {
    const auto again = hidden_state_of(name + more, *model);
    CHECK((!again || again->most_tokens == 770));
  }
}
