// The head's file: safetensors with the tensors "head.weight" [labels, inputs] and "head.bias" [labels] in F32, and
// "head.words" [buckets, labels] where words are read: that is format 2, else it is format 1; with stop words it is format
// 3, whether words are read or not. Its metadata has one entry, "frugal_head": JSON with all else, and a checksum over it and the tensors' bytes.
#include <frugal/core/error.hpp>
#include <frugal/head/head.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <utility>

#include "core/json_tree.hpp"
#include "core/read_file.hpp"
#include "head/labels.hpp"
#include "model/hash.hpp"
#include "model/safetensors.hpp"

namespace frugal {

namespace {

using Json = nlohmann::json;

constexpr int plain_format = 1, format_with_words = 2, format_with_stop_words = 3;  // the first that can say it
constexpr const char* key = "frugal_head";
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 30;

const char* name_of(Pool pool) {
  switch (pool) {
    case Pool::mean:
      return "mean";
    case Pool::last:
      return "last";
    case Pool::both:
      break;
  }
  return "both";
}

Json written(const HeadMetrics& m) {
  return {{"n", m.n},
          {"accuracy", m.accuracy},
          {"majority", m.majority},
          {"log_loss", m.log_loss},
          {"calibration_error", m.calibration_error}};
}

Json written(const HeadParts& p) {
  const HeadOrigin& o = p.origin;
  const int format = p.word_buckets == 0 ? plain_format : format_with_words;
  Json out{{"format", p.stop_words.empty() ? format : format_with_stop_words},
           {"labels", p.labels},
           {"layers", p.layers},
           {"pool", name_of(p.pool)},
           {"before", p.before},
           {"after", p.after},
           {"most_tokens", p.most_tokens},
           {"temperature", p.temperature},
           {"model", o.model},
           {"model_fingerprint", head::hex(o.model_fingerprint)},
           {"data_hash", head::hex(o.data_hash)},
           {"examples", o.examples},
           {"seed", o.seed},
           {"validation_share", o.validation_share},
           {"test_share", o.test_share},
           {"penalty", o.penalty},
           {"validation", written(o.validation)},
           {"test", written(o.test)},
           {"date", o.date},
           {"version", o.version}};
  if (p.word_buckets != 0) out["word_buckets"] = p.word_buckets;
  if (!p.stop_words.empty()) out["stop_words"] = p.stop_words;
  return out;
}

// Named access to the metadata; every failure says which member and what was expected.
class Reader {
 public:
  Reader(const Json& object, const std::string& origin) : object_(object), origin_(origin) {
    if (!object.is_object()) throw Error(Errc::bad_file, origin + ": a head's metadata must be an object");
  }
  template <class T>
  T get(const char* name) const {
    const auto found = object_.find(name);
    if (found == object_.end()) fail(name, "is missing");
    try {
      return found->get<T>();
    } catch (const Json::exception&) {
      fail(name, "has the wrong type");
    }
  }
  double number(const char* name) const {
    const auto x = get<double>(name);
    if (!std::isfinite(x)) fail(name, "is not finite");
    return x;
  }
  std::uint64_t hex(const char* name) const {
    const auto text = get<std::string>(name);
    if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != std::string::npos)
      fail(name, "must be 16 digits of base 16");
    return std::stoull(text, nullptr, 16);
  }
  HeadMetrics metrics(const char* name) const {
    const Json inner = get<Json>(name);
    const Reader in(inner, origin_);
    return {in.get<std::uint64_t>("n"), in.number("accuracy"), in.number("majority"), in.number("log_loss"),
            in.number("calibration_error")};
  }
  [[noreturn]] void fail(const char* name, const std::string& what) const {
    throw Error(Errc::bad_file, origin_ + ": \"" + name + "\" " + what);
  }

 private:
  const Json& object_;
  const std::string& origin_;
};

std::string checksum(const Json& metadata, std::string_view tensors) {
  return head::hex(model::Hash().add(metadata.dump()).add(tensors).value());
}

HeadParts read(const Json& metadata, const std::string& origin) {
  const Reader in(metadata, origin);
  const int format = in.get<int>("format");
  if (format < plain_format || format > format_with_stop_words)
    throw Error(Errc::unsupported, origin + ": a head of format " + std::to_string(format) +
                                       "; this version of frugal reads formats " + std::to_string(plain_format) +
                                       " to " + std::to_string(format_with_stop_words));
  HeadParts p;
  p.labels = in.get<std::vector<std::string>>("labels");
  p.layers = in.get<std::uint32_t>("layers");
  const auto pool = in.get<std::string>("pool");
  if (pool != "mean" && pool != "last" && pool != "both") in.fail("pool", "must be mean, last or both");
  p.pool = pool == "mean" ? Pool::mean : pool == "last" ? Pool::last : Pool::both;
  p.before = in.get<std::string>("before");
  p.after = in.get<std::string>("after");
  p.most_tokens = in.get<std::uint32_t>("most_tokens");
  p.temperature = in.number("temperature");
  if (format == format_with_stop_words) p.stop_words = in.get<std::vector<std::string>>("stop_words");
  if (format == format_with_words || metadata.contains("word_buckets")) {
    p.word_buckets = in.get<std::uint32_t>("word_buckets");
    if (p.word_buckets == 0) in.fail("word_buckets", "must be above 0");
  }
  p.origin = {.model = in.get<std::string>("model"),
              .model_fingerprint = in.hex("model_fingerprint"),
              .data_hash = in.hex("data_hash"),
              .examples = in.get<std::uint64_t>("examples"),
              .seed = in.get<std::uint64_t>("seed"),
              .validation_share = in.number("validation_share"),
              .test_share = in.number("test_share"),
              .penalty = in.number("penalty"),
              .validation = in.metrics("validation"),
              .test = in.metrics("test"),
              .date = in.get<std::string>("date"),
              .version = in.get<std::string>("version")};
  return p;
}

// The JSON header of a safetensors file whose container was checked already.
Json header_of(const std::string& bytes, const std::string& origin) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  return parse_json_tree(std::string_view(bytes).substr(sizeof length, length), origin);
}

}  // namespace

std::string Head::to_bytes() const {
  Json header;
  std::string tensors;
  const auto add = [&](const char* name, const std::vector<float>& values, std::vector<std::size_t> shape) {
    const std::size_t from = tensors.size();
    tensors.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    header[name] = {{"dtype", "F32"}, {"shape", std::move(shape)}, {"data_offsets", {from, tensors.size()}}};
  };
  add("head.weight", parts_.weights, {labels().size(), inputs()});
  add("head.bias", parts_.bias, {labels().size()});
  if (parts_.word_buckets != 0) add("head.words", parts_.words, {parts_.word_buckets, labels().size()});
  Json metadata = written(parts_);
  metadata["checksum"] = checksum(metadata, tensors);
  header["__metadata__"] = {{key, metadata.dump()}};
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // tensors begin at a multiple of eight bytes
  const std::uint64_t length = text.size();
  std::string out(sizeof length, '\0');
  std::memcpy(out.data(), &length, sizeof length);
  return out + text + tensors;
}

std::string Head::identity() const {
  return "head@" + head::hex(model::Hash().add(std::string_view(to_bytes())).value());
}

Head Head::from_bytes(const std::string& bytes, const std::string& origin) {
  const model::SafetensorsFile file(std::as_bytes(std::span(bytes.data(), bytes.size())), origin);
  const Json header = header_of(bytes, origin);
  const auto meta = header.find("__metadata__");
  if (meta == header.end() || !meta->is_object() || !meta->contains(key) || !(*meta)[key].is_string())
    throw Error(Errc::bad_file, origin + ": this is not a head: its metadata has no \"" + key + "\"");
  Json metadata = parse_json_tree((*meta)[key].get<std::string>(), origin);
  if (!metadata.is_object()) throw Error(Errc::bad_file, origin + ": a head's metadata must be an object");
  const Json sum = metadata.value("checksum", Json());
  metadata.erase("checksum");
  HeadParts parts = read(metadata, origin);
  std::string tensors;
  const auto take = [&](const char* name, std::vector<float>& out) {
    for (const Tensor& t : file.tensors)
      if (t.name == name && t.type == DType::f32) {
        out.resize(t.rows * t.cols);
        std::memcpy(out.data(), t.data.data(), t.data.size());
        tensors.append(reinterpret_cast<const char*>(t.data.data()), t.data.size());
        return;
      }
    throw Error(Errc::bad_file, origin + ": has no tensor \"" + name + "\" in F32");
  };
  take("head.weight", parts.weights);
  take("head.bias", parts.bias);
  if (parts.word_buckets != 0) take("head.words", parts.words);
  if (!sum.is_string() || sum.get<std::string>() != checksum(metadata, tensors))
    throw Error(Errc::bad_file, origin + ": the checksum does not match: the file was changed after it was written");
  try {
    return Head(std::move(parts));
  } catch (const Error& e) {
    throw Error(Errc::bad_file, origin + ": " + e.message());
  }
}

Head load_head(const std::string& path) { return Head::from_bytes(read_file(path, most_bytes), path); }

}  // namespace frugal
