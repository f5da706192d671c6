#include <frugal/draft/drafters.hpp>

#include <rapidcheck.h>
#include <catch2/catch_test_macros.hpp>

#include "brute_force.hpp"

namespace frugal {
namespace {

using testing::Ids;
using testing::proposed;

const Ids kPrompt{900, 901, 902};

std::unique_ptr<Drafting> following(const Ids& text) {
  const RequestView request{.prompt = kPrompt, .draft = text};
  auto drafting = text_drafter()->open(request);
  drafting->learn(kPrompt);
  return drafting;
}

Ids numbers(Token from, Token to) {
  Ids out;
  for (Token t = from; t < to; ++t) out.push_back(t);
  return out;
}

Ids joined(std::initializer_list<Ids> parts) {
  Ids out;
  for (const Ids& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

/// Tokens of the answer that were drafted when they came, drafting `most` at a time.
std::size_t predicted(const Ids& text, const Ids& answer, std::uint32_t most = 8) {
  const auto drafting = following(text);
  std::size_t kept = 0;
  for (std::size_t at = 0; at < answer.size();) {
    const Ids draft = proposed(*drafting, most);
    std::size_t n = 0;
    while (n < draft.size() && at + n < answer.size() && draft[n] == answer[at + n]) ++n;
    kept += n;
    const std::size_t step = std::min(n + 1, answer.size() - at);
    drafting->learn(std::span(answer).subspan(at, step));
    at += step;
  }
  return kept;
}

TEST_CASE("without a text there is nothing to follow") { CHECK(text_drafter()->open({}) == nullptr); }

TEST_CASE("an answer that is the text is drafted from its first token to its last") {
  const Ids text = numbers(0, 20);
  const auto drafting = following(text);
  CHECK(proposed(*drafting, 6) == numbers(0, 6));
  drafting->learn(numbers(0, 18));
  CHECK(proposed(*drafting, 6) == numbers(18, 20));
  drafting->learn(numbers(18, 20));
  CHECK(proposed(*drafting, 6).empty());
}

TEST_CASE("the prompt is no part of the answer, however it comes") {
  const Ids text = numbers(0, 10);
  const RequestView request{.prompt = kPrompt, .draft = text};
  const auto drafting = text_drafter()->open(request);
  drafting->learn(joined({kPrompt, {0, 1}}));
  CHECK(proposed(*drafting, 3) == Ids{2, 3, 4});
}

TEST_CASE("after a replaced token the text goes on at the next one") {
  const auto drafting = following(numbers(0, 20));
  drafting->learn(joined({numbers(0, 5), {77}}));
  CHECK(proposed(*drafting, 4).empty());  // what replaces what is not known yet
  drafting->learn(Ids{6});
  CHECK(proposed(*drafting, 4) == Ids{7, 8, 9, 10});
}

TEST_CASE("what is left out is skipped and what is put in is waited for") {
  const Ids text = numbers(0, 100);
  const auto drafting = following(text);
  drafting->learn(joined({numbers(0, 5), {8}}));  // 5 6 7 left out
  CHECK(proposed(*drafting, 2) == Ids{9, 10});
  drafting->learn(Ids{70, 71});  // far: two tokens will do
  CHECK(proposed(*drafting, 2) == Ids{72, 73});
  drafting->learn(Ids{500, 501, 502, 503, 504, 505, 72});
  CHECK(proposed(*drafting, 2) == Ids{73, 74});
}

TEST_CASE("a preamble does not lose the text") {
  const Ids text = numbers(0, 50);
  CHECK(predicted(text, joined({numbers(500, 512), text}), 50) == 49);
}

TEST_CASE("a moved block is found again, by four tokens") {
  const Ids text = numbers(0, 300);
  const auto drafting = following(text);
  drafting->learn(joined({numbers(0, 10), {200, 201, 202}}));
  CHECK(proposed(*drafting, 2).empty());
  drafting->learn(Ids{203});
  CHECK(proposed(*drafting, 2) == Ids{204, 205});
}

TEST_CASE("of two places the longer match wins, then the nearer one, then the one ahead") {
  const auto after = [](const Ids& text, const Ids& answer) {
    const auto drafting = following(text);
    drafting->learn(answer);
    return proposed(*drafting, 1);
  };
  CHECK(after({1, 2, 3, 9, 4, 5, 2, 3, 9, 6}, {7, 2, 3, 9}) == Ids{4});
  CHECK(after({1, 2, 3, 5, 10, 11, 12, 5, 20}, {1, 2, 8, 5}) == Ids{10});
  CHECK(after({1, 5, 20, 2, 5, 30}, {1, 5, 8, 5}) == Ids{30});
}

TEST_CASE("any edits: what is drafted stands in the text right after what was written") {
  CHECK(rc::check([] {
    const Ids text = *rc::gen::resize(120, rc::gen::container<Ids>(rc::gen::inRange<Token>(0, 12)));
    const Ids answer = *rc::gen::resize(120, rc::gen::container<Ids>(rc::gen::inRange<Token>(0, 12)));
    RC_PRE(!text.empty());
    const auto drafting = following(text);
    Ids written;
    for (const Token token : answer) {
      drafting->learn(std::span(&token, 1));
      written.push_back(token);
      const Ids draft = proposed(*drafting, 5);
      if (draft.empty()) continue;
      bool found = false;
      for (std::size_t end = 1; end < text.size() && !found; ++end) {
        const std::span<const Token> rest = std::span(text).subspan(end);
        found = text[end - 1] == token && rest.size() >= draft.size() &&
                std::equal(draft.begin(), draft.end(), rest.begin()) &&
                (draft.size() == 5 || rest.size() == draft.size());
      }
      RC_ASSERT(found);
    }
  }));
}

TEST_CASE("edits of random places cost a few tokens each, not the rest of the text") {
  CHECK(rc::check([] {
    const Ids text = numbers(0, 400);
    Ids answer;
    std::size_t edits = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const int what = *rc::gen::inRange(0, 60);
      edits += what < 3;
      if (what == 0) continue;                                        // left out
      if (what == 1) answer.push_back(1000), answer.push_back(1001);  // put in
      answer.push_back(what == 2 ? 2000 : text[i]);                   // replaced
    }
    RC_ASSERT(predicted(text, answer, 400) + 5 * edits + 1 >= answer.size());
  }));
}

}  // namespace
}  // namespace frugal
