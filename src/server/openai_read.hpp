// Reading OpenAI's requests: what both of its dialects share.
#pragma once

#include "server/dialect.hpp"
#include "server/reading.hpp"

namespace frugal::server {

/// temperature, top_p, penalties, logit_bias, seed, and the fields that compatible servers add. Throws Refused.
void read_sampling(Fields& fields, Request& request);

struct StreamOptions {
  bool usage = false;
};
StreamOptions read_stream_options(Fields& fields, bool stream);

/// Throws Refused where the model has no tokenizer here.
void need_tokenizer(const Job& job, const char* field);

}  // namespace frugal::server
