#include <catch2/catch_test_macros.hpp>

#include "endpoint/canned_endpoint.hpp"

using namespace frugal;
using namespace frugal::testing;

namespace {
Request ask() { return Request{RawPrompt{"why?"}}; }
}  // namespace

TEST_CASE("next gives the pieces in order, then nothing") {
  CannedEndpoint endpoint("canned", {{"be", "cause"}});
  Stream stream = endpoint.submit(ask());
  CHECK_FALSE(stream.try_next());
  CHECK(stream.next()->text == "be");
  CHECK_FALSE(stream.done());
  CHECK(stream.next()->text == "cause");
  CHECK_FALSE(stream.next());
  CHECK(stream.done());
  CHECK(stream.finish()->reason == FinishReason::stop);
}

TEST_CASE("wait joins what is left") {
  CannedEndpoint endpoint("canned", {{"a", "b", "c"}});
  Stream stream = endpoint.submit(ask());
  stream.next();
  const Answer answer = stream.wait();
  CHECK(answer.text == "bc");
  CHECK(answer.tokens == std::vector<Token>{1, 2});
}

TEST_CASE("a stream that is cancelled ends as cancelled, and one that is dropped cancels its request") {
  CannedEndpoint endpoint("canned", {{"a", "b", "c"}});
  Stream stream = endpoint.submit(ask());
  stream.next();
  stream.cancel();
  CHECK(stream.wait().finish.reason == FinishReason::cancelled);
  { Stream dropped = endpoint.submit(ask()); }
  int calls = 0;
  endpoint.drive([&] { return ++calls > 10; });
  CHECK(calls < 10);
}

TEST_CASE("the callback form hears every piece and one end") {
  CannedEndpoint endpoint("canned", {{"a", "b"}});
  std::string text;
  int ends = 0;
  endpoint.submit(
      ask(), [&](Delta d) { text += d.text; }, [&](Finish) { ++ends; });
  endpoint.drive([] { return false; });
  CHECK(text == "ab");
  CHECK(ends == 1);
}

TEST_CASE("a refusal reaches the reader of a stream") {
  CannedEndpoint endpoint("canned", {{}, 1.0F, FinishReason::refused});
  const Answer answer = endpoint.run(ask());
  CHECK(answer.finish.reason == FinishReason::refused);
  CHECK(answer.finish.error->code() == Errc::busy);
}
