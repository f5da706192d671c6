#include "server/openai_read.hpp"

namespace frugal::server {

StreamOptions read_stream_options(Fields& fields, bool stream) {
  StreamOptions out;
  const Json* const options = fields.object("stream_options");
  if (options == nullptr) return out;
  if (!stream) refuse("stream_options", "is for streams only");
  Fields inner(*options, "stream_options");
  out.usage = inner.flag("include_usage").value_or(false);
  inner.ignore({"include_obfuscation"});
  inner.refuse_rest();
  return out;
}

void need_tokenizer(const Job& job, const char* field) {
  if (!job.served->model.model || job.served->model.model->tokenizer() == nullptr)
    refuse(field, "the vocabulary of the model \"" + job.served->model.name + "\" is not known here",
           Errc::unsupported);
}

}  // namespace frugal::server
