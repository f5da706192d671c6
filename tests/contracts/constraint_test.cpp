// A constraint of a stranger's: numbers that count down by one, a comma between them, and nothing after zero. "5,4,3,2,1,0".
#include "own_backend.hpp"

#include <frugal/core/constraint.hpp>
#include <frugal/core/error.hpp>
#include <frugal/policy/speculation.hpp>
#include <frugal/text/tokenizer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <string>

using namespace stranger;

namespace {

struct Calls {
  std::atomic<int> opened{0}, masks{0}, advanced{0}, undone{0}, forced{0};
};

class Countdown final : public Constraint {
 public:
  Countdown(std::shared_ptr<Calls> calls, bool tells_forced, int throws_after)
      : calls_(std::move(calls)), tells_forced_(tells_forced), throws_after_(throws_after) {}

  void mask(std::span<std::uint32_t> words) override {
    ++calls_->masks;
    if (static_cast<int>(text_.size()) >= throws_after_) throw 42;
    std::fill(words.begin(), words.end(), 0U);
    for (const char c : next())
      words[static_cast<unsigned char>(c) / 32] |= std::uint32_t{1} << (static_cast<unsigned char>(c) % 32);
  }
  bool advance(Token token) override {
    if (token < 0 || token > 255 || next().find(static_cast<char>(token)) == std::string::npos) return false;
    ++calls_->advanced;
    text_ += static_cast<char>(token);
    return true;
  }
  void rollback(std::size_t tokens) override {
    if (tokens > text_.size()) throw Error(Errc::internal, "rolled back too far");
    calls_->undone += static_cast<int>(tokens);
    text_.resize(text_.size() - tokens);
  }
  ConstraintState state() const override {
    if (text_.empty() || text_.back() == ',') return ConstraintState::open;
    return text_.back() == '0' ? ConstraintState::finished : ConstraintState::complete;
  }
  void forced(std::size_t most, std::vector<Token>& out) override {
    if (!tells_forced_ || text_.empty()) return;
    ++calls_->forced;
    std::string text = text_;
    for (std::size_t n = 0; n < most && text.back() != '0'; ++n) {
      text += text.back() == ',' ? static_cast<char>(text[text.size() - 2] - 1) : ',';
      out.push_back(text.back());  // behind what is there: the answer so far
    }
  }

 private:
  std::string next() const {
    if (text_.empty()) return "3456789";
    if (text_.back() == ',') return {static_cast<char>(text_[text_.size() - 2] - 1)};
    return text_.back() == '0' ? "" : ",";
  }
  std::shared_ptr<Calls> calls_;
  const bool tells_forced_;
  const int throws_after_;
  std::string text_{};
};

struct CountdownSource final : ConstraintSource {
  std::string_view name() const override { return "countdown"; }
  expected<std::unique_ptr<Constraint>> open(const Tokenizer& tokenizer) const override {
    if (refuses) return unexpected(Errc::unsupported, "no countdown in this vocabulary");
    CHECK(tokenizer.bytes('5') == "5");
    ++calls->opened;
    return std::unique_ptr<Constraint>(std::make_unique<Countdown>(calls, tells_forced, throws_after));
  }
  std::shared_ptr<Calls> calls = std::make_shared<Calls>();
  bool tells_forced = true, refuses = false;
  int throws_after = 1000;
};

bool counts_down(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i)
    if (i % 2 == 1 ? text[i] != ',' : (i > 0 && text[i] != text[i - 2] - 1)) return false;
  return !text.empty();
}

Request counting(std::shared_ptr<const ConstraintSource> source, std::uint32_t seed = 0) {
  Request request = request_of(prompt_of(30, seed), 40);
  request.constraint = std::move(source);
  // Complete numbers may end the answer: this model never wants to, so the text goes on to zero.
  return request;
}

}  // namespace

TEST_CASE("every answer obeys a stranger's constraint, and what must follow is drafted, not decoded") {
  for (const bool tells : {false, true}) {
    auto backend = std::make_shared<OwnBackend>();
    Engine engine(options_with(backend));
    auto source = std::make_shared<CountdownSource>();
    source->tells_forced = tells;
    std::vector<Stream> streams;
    for (std::uint32_t i = 0; i < 6; ++i) streams.push_back(engine.submit(counting(source, i)));
    for (Stream& stream : streams) {
      const Answer answer = stream.wait();
      CHECK(counts_down(answer.text));
      CHECK(answer.text.back() == '0');
      CHECK(answer.finish.reason == FinishReason::stop);
      const TokenLedger tokens = answer.finish.ledger.total();
      CHECK(answer.finish.ledger.consistent());
      // all but the first, which was a choice, and the last, which the verifying pass drew itself
      CHECK(tokens.forced == (tells ? answer.tokens.size() - 2 : 0));
      CHECK((tells ? tokens.passes <= 3 : tokens.passes >= answer.tokens.size()));
    }
    CHECK(source->calls->opened == 6);
    CHECK(source->calls->masks > 0);
    CHECK((source->calls->forced > 0) == tells);
  }
}

TEST_CASE("drafts of any kind go through the constraint and are undone where the model does not take them") {
  std::vector<std::string> plain;
  auto plain_source = std::make_shared<CountdownSource>();
  plain_source->tells_forced = false;
  {
    Engine engine(options_with(std::make_shared<OwnBackend>()));
    for (std::uint32_t i = 0; i < 6; ++i) plain.push_back(engine.run(counting(plain_source, i)).text);
  }
  EngineOptions options = options_with(std::make_shared<OwnBackend>());
  options.speculation = fixed_drafts(6);
  Engine engine(std::move(options));
  auto source = std::make_shared<CountdownSource>();
  source->tells_forced = false;
  std::uint64_t accepted = 0;
  for (std::uint32_t i = 0; i < 6; ++i) {
    Request request = counting(source, i);
    request.draft.text = i % 2 == 0 ? plain[i] : "7,6,5,4,5,6";  // right; or against the constraint in its middle
    const Answer answer = engine.run(request);
    CHECK(answer.text == plain[i]);
    accepted += answer.finish.ledger.total().accepted;
  }
  CHECK(accepted > 0);
  CHECK(source->calls->undone > 0);
}

TEST_CASE("a seeded answer under a constraint does not depend on whether forced tokens are told") {
  std::vector<std::vector<Token>> answers;
  for (const bool tells : {false, true}) {
    Engine engine(options_with(std::make_shared<OwnBackend>()));
    auto source = std::make_shared<CountdownSource>();
    source->tells_forced = tells;
    for (std::uint64_t seed = 1; seed < 8; ++seed) {
      Request request = counting(source);
      request.sampling.temperature = 4.0F, request.sampling.seed = seed;
      answers.push_back(engine.run(request).tokens);
    }
  }
  for (std::size_t i = 0; i < 7; ++i) CHECK(answers[i] == answers[i + 7]);
  CHECK(std::set<std::vector<Token>>(answers.begin(), answers.end()).size() > 1);
}

TEST_CASE("a constraint that cannot be opened refuses its request, and one that throws ends its own alone") {
  Engine engine(options_with(std::make_shared<OwnBackend>()));
  auto refusing = std::make_shared<CountdownSource>();
  refusing->refuses = true;
  const Answer refused = engine.run(counting(refusing));
  CHECK(refused.finish.reason == FinishReason::refused);
  CHECK(refused.finish.error->code() == Errc::unsupported);

  auto throwing = std::make_shared<CountdownSource>();
  throwing->throws_after = 3, throwing->tells_forced = false;
  Stream bad = engine.submit(counting(throwing)),
         good = engine.submit(counting(std::make_shared<CountdownSource>(), 1));
  const Answer ended = bad.wait();
  CHECK(ended.finish.reason == FinishReason::error);
  CHECK(ended.finish.error->code() == Errc::policy);
  CHECK(ended.finish.error->message().find("countdown") != std::string::npos);
  CHECK(ended.text.size() == 3);
  CHECK(good.wait().finish.reason == FinishReason::stop);
}
