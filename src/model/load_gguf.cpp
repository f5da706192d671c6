// A model from one GGUF file or its shards ("name-00001-of-00003.gguf"): the first holds the metadata, each holds some
// tensors.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstdio>

#include "model/architectures.hpp"
#include "model/loaders.hpp"
#include "model/mapped_file.hpp"

namespace frugal::model {
namespace {

constexpr std::uint64_t most_shards = 99999;  // five digits

void report(const LoadOptions& options, std::string_view stage, double share) {
  if (options.progress) options.progress(stage, share);
}

std::string shard_suffix(std::uint64_t number, std::uint64_t count) {
  char text[32];
  std::snprintf(text, sizeof text, "-%05u-of-%05u.gguf", static_cast<unsigned>(number), static_cast<unsigned>(count));
  return text;
}

/// The path of shard `number` (from 1), given the first one's.
std::filesystem::path shard_path(const std::filesystem::path& first, std::uint64_t number, std::uint64_t count) {
  const std::string name = first.filename().string(), suffix = shard_suffix(1, count);
  if (!name.ends_with(suffix))
    throw Error(Errc::bad_file, first.string() + ": is the first of " + std::to_string(count) +
                                    " shards, but its name does not end in " + suffix);
  return first.parent_path() / (name.substr(0, name.size() - suffix.size()) + shard_suffix(number, count));
}

/// Mappings of all shards; the ModelParts' storage.
using Mappings = std::vector<std::unique_ptr<const MappedFile>>;

void append(std::vector<Tensor>& all, const GgufFile& shard) {
  all.insert(all.end(), shard.tensors().begin(), shard.tensors().end());
}

void add_shards(const std::filesystem::path& first, const GgufFile& header, std::vector<Tensor>& tensors,
                Mappings& files, const LoadOptions& options) {
  const std::uint64_t count = header.integer("split.count", most_shards).value_or(1);
  if (const std::uint64_t no = header.integer("split.no", most_shards).value_or(0); no != 0)
    throw Error(Errc::bad_file, header.name() + ": is shard " + std::to_string(no + 1) + " of " +
                                    std::to_string(count) + "; name the one that ends in " + shard_suffix(1, count));
  for (std::uint64_t number = 2; number <= count; ++number) {
    const std::filesystem::path path = shard_path(first, number, count);
    files.push_back(std::make_unique<const MappedFile>(path, options.weights));
    const GgufFile shard(files.back()->bytes(), path.string());
    if (shard.integer("split.count", most_shards) != count || shard.integer("split.no", most_shards) != number - 1)
      throw Error(Errc::bad_file, shard.name() + ": is not shard " + std::to_string(number) + " of " +
                                      std::to_string(count) + " (split.no, split.count)");
    append(tensors, shard);
    report(options, "weights", static_cast<double>(number) / static_cast<double>(count));
  }
  if (const auto total = header.integer("split.tensors.count", 0x7FFFFFFF); total && *total != tensors.size())
    header.fail("split.tensors.count",
                "says " + std::to_string(*total) + " tensors, the shards hold " + std::to_string(tensors.size()));
}

/// Takes a tensor of divisors of RoPE's frequencies out of the list; empty where it is not there.
std::vector<float> take_divisors(std::vector<Tensor>& tensors, std::string_view name, const std::string& file) {
  std::vector<float> divisors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].name != name) continue;
    if (tensors[i].rows != 1 || tensors[i].cols > 1U << 16)
      throw Error(Errc::bad_model, file + ": tensor " + std::string(name) + " has " + std::to_string(tensors[i].rows) +
                                       " rows of " + std::to_string(tensors[i].cols));
    divisors.resize(tensors[i].cols);
    dequantize_rows(tensors[i], 0, 1, divisors);
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
    break;
  }
  return divisors;
}

/// Llama 3's frequencies, or LongRoPE's short or long ones.
std::vector<float> take_rope_divisors(const GgufFile& header, std::vector<Tensor>& tensors, std::uint32_t wanted) {
  std::vector<float> freqs = take_divisors(tensors, "rope_freqs.weight", header.name());
  std::vector<float> of_long = take_divisors(tensors, "rope_factors_long.weight", header.name());
  std::vector<float> of_short = take_divisors(tensors, "rope_factors_short.weight", header.name());
  if (!freqs.empty()) return freqs;
  const std::string architecture(header.string("general.architecture").value_or(""));
  const double context = header.number(architecture + ".context_length").value_or(0);
  const double original = header.number(architecture + ".rope.scaling.original_context_length").value_or(context);
  return (wanted == 0 ? context : wanted) > original ? of_long : of_short;
}

ModelParts parts_from(const GgufFile& header, std::vector<Tensor> tensors, std::uint32_t context) {
  ModelParts parts;
  parts.tensors = std::move(tensors);
  std::vector<float> divisors = take_rope_divisors(header, parts.tensors, context);
  parts.spec = spec_from_gguf(header, parts.tensors);
  if (!divisors.empty()) parts.spec.rope_divisors = std::move(divisors);
  if (context != 0) parts.spec.context = std::min(parts.spec.context, context);
  split_fused(parts.spec, parts.tensors);
  reject_unknown(parts.spec, parts.tensors, header.name());
  const std::string stem = std::filesystem::path(header.name()).stem().string();
  parts.name = std::string(header.string("general.name").value_or(stem));
  return parts;
}

void add_text(ModelParts& parts, const GgufFile& file) {
  set_tokenizer(parts, [&]() -> std::shared_ptr<const Tokenizer> {
    auto vocabulary = vocabulary_from_gguf(file);
    return vocabulary ? std::make_shared<const Tokenizer>(std::move(*vocabulary)) : nullptr;
  });
  if (const auto source = file.string("tokenizer.chat_template")) parts.chat_template = std::string(*source);
  const auto names = file.strings("tokenizer.chat_templates");
  for (const std::string_view name : names ? *names : std::vector<std::string_view>()) {
    const std::string key = "tokenizer.chat_template." + std::string(name);
    const auto source = file.string(key);
    if (!source)
      file.fail("tokenizer.chat_templates",
                "names '" + std::string(name.substr(0, 80)) + "', but " + key + " is missing");
    parts.named_templates.emplace_back(name, *source);
  }
}

}  // namespace

ModelParts parts_from_gguf(const GgufFile& file) {
  ModelParts parts = parts_from(file, file.tensors(), 0);
  add_text(parts, file);
  return parts;
}

ModelParts load_gguf(const std::filesystem::path& path, const LoadOptions& options) {
  report(options, "weights", 0.0);
  const auto files = std::make_shared<Mappings>();
  files->push_back(std::make_unique<const MappedFile>(path, options.weights));
  const GgufFile header(files->front()->bytes(), path.string());
  std::vector<Tensor> tensors = header.tensors();
  add_shards(path, header, tensors, *files, options);
  for (Tensor& t : tensors) t.mapped = options.weights == LoadOptions::Weights::map;
  ModelParts parts = parts_from(header, std::move(tensors), options.context);
  parts.storage = files;
  report(options, "weights", 1.0);

  report(options, "tokenizer", 0.0);
  add_text(parts, header);
  report(options, "tokenizer", 1.0);
  return parts;
}

}  // namespace frugal::model
