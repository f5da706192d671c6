// CascadeStreaming: what nothing can reject any more reaches the caller as it comes, with leave also what may be taken
// back; and times are what it saw.
#include <frugal/core/error.hpp>
#include <frugal/endpoint/cascade.hpp>

#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "endpoint/canned_endpoint.hpp"
#include "support/error_of.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {

// A tier whose every piece takes 10 ms of the clock, and whose margins are given piece by piece.
class TickingTier final : public Endpoint {
 public:
  struct Piece {
    std::string text;
    float margin = 1;
  };
  TickingTier(std::string name, ManualClock& clock, std::vector<Piece> said)
      : pieces(std::move(said)), name_(std::move(name)), clock_(clock) {}
  std::string_view name() const override { return name_; }
  Call start(Request request, std::shared_ptr<Sink> sink) override {
    ++starts;
    job_ = std::make_shared<Job>(Job{std::move(sink), request.scores});
    return Call([job = job_] { job->cancelled = true; });
  }
  Progress step() override {
    if (!job_) return Progress::idle;
    if (job_->cancelled) return end(FinishReason::cancelled);
    if (job_->next == pieces.size()) return end(reason);
    if (job_->sink->full()) {
      ++held_up;
      return Progress::waiting;
    }
    clock_.advance(std::chrono::milliseconds(10));
    const Piece& piece = pieces[job_->next];
    const auto token = static_cast<Token>(job_->next++);
    Delta delta{piece.text, {token}, {}};
    if (job_->scores) delta.scores.push_back({token, -0.1F, piece.margin, {}});
    try {
      job_->sink->on_delta(std::move(delta));
    } catch (...) {
      return end(FinishReason::cancelled);
    }
    return Progress::worked;
  }

  std::vector<Piece> pieces;
  FinishReason reason = FinishReason::stop;
  int starts = 0, held_up = 0;

 private:
  struct Job {
    std::shared_ptr<Sink> sink;
    bool scores = false;
    std::size_t next = 0;
    bool cancelled = false;
  };
  Progress end(FinishReason why) {
    const std::shared_ptr<Job> job = std::exchange(job_, nullptr);
    Finish finish;
    finish.reason = why;
    if (why == FinishReason::error) finish.error = Error(Errc::internal, name_ + " broke");
    finish.model = name_;
    finish.usage = {.input = 5, .output = job->next};
    TokenLedger tokens;
    tokens.prompt_computed = 5, tokens.decoded = job->next;
    finish.ledger.attempts.push_back({name_, name_, finish.usage, tokens});
    job->sink->on_finish(std::move(finish));
    return Progress::worked;
  }

  std::string name_;
  ManualClock& clock_;
  std::shared_ptr<Job> job_;
};

struct Reader final : Sink {
  void on_delta(Delta delta) override {
    if (throws) throw 7;
    if (delta.revises) pieces.emplace_back("<");  // what stands before it is taken back
    pieces.push_back(delta.text);
    scores += delta.scores.size();
    if (on_piece) on_piece();
  }
  void on_finish(Finish f) override { finish = std::move(f); }
  bool full() const override { return is_full; }
  std::vector<std::string> pieces;
  std::size_t scores = 0;
  std::optional<Finish> finish;
  bool throws = false, is_full = false;
  std::function<void()> on_piece{};
};

struct World {
  ManualClock clock;
  TickingTier small{"small", clock, {{"a "}, {"b "}, {"c "}, {"d "}, {"e "}}};
  TickingTier big{"big", clock, {{"V "}, {"W "}, {"X "}, {"Y "}}};
  std::shared_ptr<CascadePolicy> policy = commit_after(margin_threshold(0.5, 0), 3, 0.8, 0);
  CascadeStreaming streaming = CascadeStreaming::commit;
  std::shared_ptr<Reader> reader = std::make_shared<Reader>();

  void run() {
    Cascade cascade({.tiers = {&small, &big}, .policy = policy, .clock = &clock, .streaming = streaming});
    Request request{RawPrompt{"why?"}};
    request.allow_revisions = revisions;
    const Call call = cascade.start(std::move(request), reader);
    for (int i = 0; i < 100 && !reader->finish; ++i) {
      if (cancel_after && reader->pieces.size() >= *cancel_after) call.cancel();
      (void)cascade.step();
    }
    REQUIRE(reader->finish);
  }
  std::optional<std::size_t> cancel_after{};
  bool revisions = false;
  const Finish& end() const { return *reader->finish; }
};

using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE("an answer that the policy commits to is passed on from that moment, what was held back in one piece") {
  World w;
  w.run();
  CHECK(w.reader->pieces == Pieces{"a b c ", "d ", "e "});
  CHECK(w.reader->scores == 0);  // measured for the policy, not asked for
  CHECK(w.end().reason == FinishReason::stop);
  CHECK(w.big.starts == 0);
  CHECK(w.end().timing.ttft == std::chrono::milliseconds(30));
  CHECK(w.end().timing.e2e == std::chrono::milliseconds(50));
  CHECK(w.end().timing.first_tokens == 3);
  CHECK_FALSE(w.end().timing.in_one_piece);
  CHECK(w.end().timing.tpot(w.end().answer_usage().output) == std::chrono::milliseconds(10));
  REQUIRE(w.end().ledger.attempts.size() == 1);
  CHECK(w.end().ledger.attempts[0].accepted);
  CHECK(w.end().ledger.attempts[0].score == 1.0);
}

TEST_CASE("after a commitment doubt comes too late: the answer is neither judged nor replaced") {
  World w;
  w.small.pieces[4].margin = 0.1F;  // judge() would escalate
  w.run();
  CHECK(w.reader->pieces.size() == 3);
  CHECK(w.big.starts == 0);
  CHECK(w.end().ledger.attempts[0].accepted);
}

TEST_CASE("without a commitment nothing of the small answer is shown, and the last tier's comes piece by piece") {
  World w;
  w.small.pieces[1].margin = 0.2F;
  w.run();
  CHECK(w.reader->pieces == Pieces{"V ", "W ", "X ", "Y "});
  CHECK(w.end().model == "big");
  CHECK(w.end().timing.ttft == std::chrono::milliseconds(60));  // five small pieces, then the first big one
  CHECK(w.end().timing.first_tokens == 1);
  CHECK(w.end().timing.tpot(w.end().answer_usage().output) == std::chrono::milliseconds(10));
  REQUIRE(w.end().ledger.attempts.size() == 2);
  CHECK_FALSE(w.end().ledger.attempts[0].accepted);
  CHECK(w.end().ledger.attempts[1].accepted);
  CHECK(w.end().usage.output == 9);
}

TEST_CASE("an answer shorter than the policy needs is judged at its end and comes in one piece") {
  World w;
  w.small.pieces.resize(2);
  w.run();
  CHECK(w.reader->pieces == Pieces{"a b "});
  CHECK(w.end().timing.in_one_piece);
  CHECK(w.end().timing.ttft == w.end().timing.e2e);
  CHECK_FALSE(w.end().timing.tpot(2));
}

TEST_CASE("buffered, a commitment changes nothing: the answer comes in one piece and is judged") {
  World w;
  w.streaming = CascadeStreaming::buffer;
  w.small.pieces[4].margin = 0.1F;
  w.run();
  CHECK(w.reader->pieces == Pieces{"V W X Y "});
  CHECK(w.end().timing.in_one_piece);
  CHECK(w.end().ledger.attempts.size() == 2);
}

TEST_CASE("an answer that fails after its beginning was passed on ends the request with its error, and once") {
  World committed;
  committed.small.reason = FinishReason::error;
  committed.run();
  CHECK(committed.reader->pieces.size() == 3);
  CHECK(committed.end().reason == FinishReason::error);
  CHECK(committed.end().error->message() == "small broke");
  CHECK(committed.big.starts == 0);

  World last;
  last.small.pieces[1].margin = 0.2F;
  last.big.reason = FinishReason::error;
  last.run();
  CHECK(last.reader->pieces == Pieces{"V ", "W ", "X ", "Y "});
  CHECK(last.end().reason == FinishReason::error);
}

TEST_CASE("a last tier that fails before it said anything leaves the answer that was paid for") {
  World w;
  w.small.pieces[1].margin = 0.2F;
  w.big.pieces.clear();
  w.big.reason = FinishReason::error;
  w.run();
  CHECK(w.reader->pieces == Pieces{"a b c d e "});
  CHECK(w.end().reason == FinishReason::stop);
  CHECK(w.end().detail.find("big") != std::string::npos);
}

TEST_CASE("a reader that is behind holds up the tier whose pieces it gets, not one whose answer is held back") {
  World w;
  w.reader->on_piece = [&] {
    if (w.reader->pieces.size() == 1) w.reader->is_full = true;
  };
  Cascade cascade({.tiers = {&w.small, &w.big}, .policy = w.policy, .clock = &w.clock, .streaming = w.streaming});
  w.reader->is_full = true;
  (void)cascade.start(Request{RawPrompt{"why?"}}, w.reader);
  for (int i = 0; i < 10; ++i) (void)cascade.step();
  CHECK(w.reader->pieces == Pieces{"a b c "});
  CHECK(w.small.held_up == 7);
  w.reader->is_full = false;
  for (int i = 0; i < 10; ++i) (void)cascade.step();
  CHECK(w.reader->pieces == Pieces{"a b c ", "d ", "e "});
  CHECK(w.end().reason == FinishReason::stop);
}

TEST_CASE("cancelled or given up while pieces are passed on, the request ends as cancelled and nothing comes twice") {
  World w;
  w.cancel_after = 2;
  w.run();
  CHECK(w.reader->pieces == Pieces{"a b c ", "d "});
  CHECK(w.end().reason == FinishReason::cancelled);

  World thrown;
  thrown.reader->throws = true;
  thrown.run();
  CHECK(thrown.reader->pieces.empty());
  CHECK(thrown.end().reason == FinishReason::cancelled);
  CHECK(thrown.big.starts == 0);
}

TEST_CASE("a caller that asks for scores gets those of what was held back and of what follows") {
  World w;
  Cascade cascade({.tiers = {&w.small, &w.big}, .policy = w.policy, .clock = &w.clock, .streaming = w.streaming});
  Request request{RawPrompt{"why?"}};
  request.scores = true;
  (void)cascade.start(std::move(request), w.reader);
  for (int i = 0; i < 20; ++i) (void)cascade.step();
  CHECK(w.reader->pieces.size() == 3);
  CHECK(w.reader->scores == 5);
}

TEST_CASE("commit_after needs tokens, and numbers in [0, 1]") {
  CHECK(mentions(error_of([] { (void)commit_after(margin_threshold(0.5), 0, 0.5); }), "commit_after: no tokens"));
  CHECK(mentions(error_of([] { (void)commit_after(margin_threshold(0.5), 4, 1.5); }), "commit_after: the threshold"));
  CHECK(
      mentions(error_of([] { (void)commit_after(margin_threshold(0.5), 4, 0.5, -1); }), "commit_after: the quantile"));
  CHECK(mentions(error_of([] { (void)commit_after(nullptr, 4, 0.5); }), "commit_after"));
}

namespace {

// Revisions are allowed, and nothing is committed to.
struct Revising : World {
  Revising() {
    policy = margin_threshold(0.5, 0);
    streaming = CascadeStreaming::revise;
    revisions = true;
  }
};

// Abandons a running answer at its second piece.
class Abandons final : public CascadePolicy {
 public:
  std::string_view name() const override { return "abandons"; }
  std::size_t first(const RequestView&, std::size_t) override { return 0; }
  Verdict judge(const AttemptView&) override { return {}; }
  bool judges_running() const override { return true; }
  Verdict judge_running(const AttemptView& attempt) override {
    return attempt.scores.size() >= 2 ? Verdict{.next = 1} : Verdict{};
  }
};

}  // namespace

TEST_CASE("with leave to revise, the first tier's answer is shown as it comes, and stays where it is accepted") {
  Revising w;
  w.run();
  CHECK(w.reader->pieces == Pieces{"a ", "b ", "c ", "d ", "e "});
  CHECK(w.end().timing.ttft == std::chrono::milliseconds(10));
  CHECK(w.end().timing.tpot(w.end().answer_usage().output) == std::chrono::milliseconds(10));
  CHECK(w.reader->scores == 0);
  CHECK(w.end().ledger.attempts[0].accepted);
}

TEST_CASE(
    "an answer that is rejected is taken back by the next tier's first piece, and times are those of what stays") {
  Revising w;
  w.small.pieces[1].margin = 0.2F;
  w.run();
  CHECK(w.reader->pieces == Pieces{"a ", "b ", "c ", "d ", "e ", "<", "V ", "W ", "X ", "Y "});
  CHECK(w.end().model == "big");
  CHECK(w.end().timing.ttft == std::chrono::milliseconds(60));
  CHECK(w.end().timing.tpot(w.end().answer_usage().output) == std::chrono::milliseconds(10));
  CHECK_FALSE(w.end().timing.in_one_piece);
}

TEST_CASE("a shown answer may be abandoned while it runs") {
  Revising w;
  w.policy = std::make_shared<Abandons>();
  w.run();
  CHECK(w.reader->pieces == Pieces{"a ", "b ", "<", "V ", "W ", "X ", "Y "});
  CHECK(w.end().ledger.attempts.size() == 2);
}

TEST_CASE("without leave in the request, revise shows what commit shows") {
  Revising w;
  w.revisions = false;
  w.small.pieces[1].margin = 0.2F;
  w.run();
  CHECK(w.reader->pieces == Pieces{"V ", "W ", "X ", "Y "});
  World committed;
  committed.streaming = CascadeStreaming::revise;
  committed.run();
  CHECK(committed.reader->pieces == Pieces{"a b c ", "d ", "e "});
  World commits;  // and with leave, a commitment takes nothing back
  commits.streaming = CascadeStreaming::revise, commits.revisions = true;
  commits.small.pieces[4].margin = 0.1F;
  commits.run();
  CHECK(commits.reader->pieces == Pieces{"a ", "b ", "c ", "d ", "e "});
  CHECK(commits.big.starts == 0);
}

TEST_CASE("where the next tier fails, a kept answer stands: untouched before its first piece, once more after it") {
  Revising silent;
  silent.small.pieces[1].margin = 0.2F;
  silent.big.pieces.clear(), silent.big.reason = FinishReason::error;
  silent.run();
  CHECK(silent.reader->pieces == Pieces{"a ", "b ", "c ", "d ", "e "});
  CHECK(silent.end().reason == FinishReason::stop);
  CHECK(silent.end().timing.ttft == std::chrono::milliseconds(10));

  Revising broken;
  broken.small.pieces[1].margin = 0.2F;
  broken.big.pieces.resize(2), broken.big.reason = FinishReason::error;
  broken.run();
  CHECK(broken.reader->pieces == Pieces{"a ", "b ", "c ", "d ", "e ", "<", "V ", "W ", "<", "a b c d e "});
  CHECK(broken.end().reason == FinishReason::stop);
  CHECK(broken.end().detail.find("big") != std::string::npos);
}

TEST_CASE("a stream that is read to its end holds the answer that stays") {
  Revising w;
  w.small.pieces[1].margin = 0.2F;
  Cascade cascade({.tiers = {&w.small, &w.big}, .policy = w.policy, .clock = &w.clock, .streaming = w.streaming});
  Request request{RawPrompt{"why?"}};
  request.allow_revisions = true;
  const Answer answer = cascade.run(std::move(request));
  CHECK(answer.text == "V W X Y ");
  CHECK(answer.tokens.size() == 4);
}
