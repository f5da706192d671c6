// What the dialects read alike: headers, tools, shapes of answers, and the checks of what a local model can be asked.
#pragma once

#include <string>
#include <vector>

#include "server/dialect.hpp"
#include "server/json.hpp"

namespace frugal::server {

/// Model, id, tenant, and what frugal's own headers say: x-frugal-type, x-frugal-priority, x-frugal-deadline-ms and
/// x-frugal-label-NAME. Throws Refused.
void begin_job(const Incoming& incoming, const Catalogue& catalogue, Fields& fields, Job& job);

/// The functions a client offers, in OpenAI's form, checked. Throws Refused.
struct Offer {
  Json tools = Json::array();
  std::vector<std::string> names{};
};
void add_tool(Offer& offer, const std::string& name, const Json* description, const Json* parameters,
              const std::string& path);

/// How the client wants them used.
struct Choice {
  enum class Kind : std::uint8_t { automatic, none, required, one } kind = Kind::automatic;
  std::string name{};
};

/// Puts the offer into the chat in the way that suits the model; a forced call becomes a constraint. Throws Refused.
void offer_tools(Job& job, const Offer& offer, const Choice& choice);

/// The answer must meet the schema. Throws Refused that names `path`.
void require_schema(Job& job, const Json& schema, const std::string& path);

/// How much the model is to think: "none" to "max". Told to its template; what the template cannot be told is refused.
/// Throws Refused that names `field`.
void ask_for_effort(Job& job, const std::string& effort, const std::string& field);

/// The splitter for this job's answers.
AnswerSplitter splitter_of(const Job& job, const Offer& offer, const Choice& choice);

/// A name for an answer or a call: prefix and 24 hexadecimal digits, different each time.
std::string fresh_name(const char* prefix);

}  // namespace frugal::server
