// Reading OpenAI's requests: what its dialects share and text/openai_fields.hpp does not have.
#pragma once

#include "server/dialect.hpp"
#include "server/reading.hpp"
#include "text/openai_fields.hpp"

namespace frugal::server {

struct StreamOptions {
  bool usage = false;
};
StreamOptions read_stream_options(Fields& fields, bool stream);

/// Throws Refused where the model has no tokenizer here.
void need_tokenizer(const Job& job, const char* field);

}  // namespace frugal::server
