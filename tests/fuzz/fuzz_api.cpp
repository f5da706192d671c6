// Any bytes as the body of a request to the server: a request that is well formed, or a refusal that says why.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "server/dialect.hpp"
#include "server/hand_endpoint.hpp"

namespace {

using namespace frugal::server;

const Catalogue& catalogue() {
  static frugal::testing::HandEndpoint endpoint;
  static const Catalogue only{{{{"m", &endpoint}, {}}}, 0};
  return only;
}

bool fine(const Dialect& dialect, const Incoming& incoming) {
  try {
    Job job;
    dialect.read(incoming, catalogue(), job);
    std::string out;
    job.writer->delta({"a<tool_call>{", {}, {}}, out);
    job.writer->finish({}, out);
    return !out.empty();
  } catch (const Refused& refused) {
    return refused.why.status >= 400 && !refused.why.error.message().empty() &&
           !dialect.error(refused.why, "id").empty();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Incoming incoming;
  incoming.body.assign(reinterpret_cast<const char*>(data), size);
  for (const Dialect* dialect : {&openai_chat(), &openai_completions(), &anthropic_messages()})
    if (!fine(*dialect, incoming)) return 1;
  return 0;
}
