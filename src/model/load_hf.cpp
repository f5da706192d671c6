// A model from a Hugging Face folder: config.json, model.safetensors or its shards, tokenizer.json, a chat template.
#include <frugal/core/error.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "core/json_tree.hpp"
#include "core/read_file.hpp"
#include "model/architectures.hpp"
#include "model/loaders.hpp"
#include "model/mapped_file.hpp"
#include "model/safetensors.hpp"

namespace frugal::model {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

void report(const LoadOptions& options, std::string_view stage, double share) {
  if (options.progress) options.progress(stage, share);
}

constexpr std::uint64_t most_template_bytes = std::uint64_t{1} << 24;

Json read_json(const fs::path& path) { return parse_json_tree(read_file(path.string()), path.string()); }

/// Mappings of all shards and copies of what lies unaligned in them; the ModelParts' storage.
struct Weights {
  LoadOptions::Weights how;
  const Architecture* architecture;
  std::vector<std::unique_ptr<const MappedFile>> files;
  std::vector<std::vector<std::uint64_t>> copies;
};

/// Which file holds which tensor, by model.safetensors.index.json.
using WeightMap = std::unordered_map<std::string, std::string>;

WeightMap read_index(const fs::path& path) {
  const Json index = read_json(path);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object())
    throw Error(Errc::bad_file, path.string() + ": byte 0: has no weight_map");
  WeightMap weights;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    // a plain name: an index must not reach outside its folder
    if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string("/\\\0", 3)) != std::string::npos)
      throw Error(Errc::bad_file,
                  path.string() + ": weight_map of tensor '" + tensor.substr(0, 80) + "' is not a file name");
    weights.emplace(tensor, name);
  }
  return weights;
}

/// Computed by every reader anew, stored by some writers.
bool is_derived(std::string_view hf_name) { return hf_name.ends_with(".rotary_emb.inv_freq"); }

/// Backends read fp32 and 16-bit weights in place, so each begins at a multiple of its width: mostly in the file
/// already, else in a copy.
void align(Tensor& t, Weights& weights) {
  const auto at = reinterpret_cast<std::uintptr_t>(t.data.data());
  const bool aligned = at % block_shape(t.type).bytes == 0;
  t.mapped = aligned && weights.how == LoadOptions::Weights::map;
  if (aligned) return;
  auto& copy = weights.copies.emplace_back((t.data.size() + 7) / 8);
  std::memcpy(copy.data(), t.data.data(), t.data.size());
  t.data = std::as_bytes(std::span(copy)).first(t.data.size());
}

/// Gemma's norms multiply by 1 + weight; GGUF files and the forward pass have the sum.
void add_one(Tensor& t, Weights& weights) {
  const std::uint64_t values = t.rows * t.cols;
  auto& copy = weights.copies.emplace_back((values + 1) / 2);
  const std::span sums(reinterpret_cast<float*>(copy.data()), values);
  dequantize(t.type, t.data, sums);
  for (float& x : sums) x += 1.0F;
  t.type = DType::f32;
  t.data = std::as_bytes(sums);
  t.mapped = false;
}

void add_file(const fs::path& path, const WeightMap* index, Weights& weights, std::vector<Tensor>& tensors) {
  weights.files.push_back(std::make_unique<const MappedFile>(path, weights.how));
  SafetensorsFile file(weights.files.back()->bytes(), path.string());
  for (const SafetensorsFile::Foreign& foreign : file.foreign)
    if (!gguf_tensor_name(foreign.name, weights.architecture->gemma).empty())
      throw Error(Errc::unsupported, path.string() + ": tensor " + foreign.name + " " + foreign.reason +
                                         "; supported are F32, F16 and BF16");
  for (Tensor& t : file.tensors) {
    if (is_derived(t.name)) continue;
    if (index) {
      const auto at = index->find(t.name);
      if (at == index->end() || at->second != path.filename()) continue;  // the index decides
    }
    if (std::string name = gguf_tensor_name(t.name, weights.architecture->gemma); !name.empty())
      t.name = std::move(name);
    align(t, weights);
    if (weights.architecture->gemma && t.name.ends_with("norm.weight")) add_one(t, weights);
    tensors.push_back(std::move(t));
  }
}

std::vector<Tensor> read_weights(const fs::path& folder, Weights& weights, const LoadOptions& options) {
  std::vector<Tensor> tensors;
  const fs::path index_path = folder / "model.safetensors.index.json";
  if (!fs::exists(index_path)) {
    add_file(folder / "model.safetensors", nullptr, weights, tensors);
    return tensors;
  }
  const WeightMap index = read_index(index_path);
  std::set<std::string> files;
  for (const auto& [tensor, file] : index) files.insert(file);
  std::size_t done = 0;
  for (const std::string& file : files) {
    add_file(folder / file, &index, weights, tensors);
    report(options, "weights", static_cast<double>(++done) / static_cast<double>(files.size()));
  }
  return tensors;
}

void add_template(const std::string& name, const std::string& source, ModelParts& parts) {
  if (name == "default") {
    parts.chat_template = source;
  } else {
    parts.named_templates.emplace_back(name, source);
  }
}

/// The field of tokenizer_config.json: a string, or a list of named templates.
void read_template_field(const fs::path& path, ModelParts& parts) {
  if (!fs::exists(path)) return;
  const Json config = read_json(path);
  const auto field = config.is_object() ? config.find("chat_template") : config.end();
  if (!config.is_object() || field == config.end() || field->is_null()) return;
  if (field->is_string()) return add_template("default", field->get<std::string>(), parts);
  const auto is_text = [](const Json& entry, const char* key) { return entry.contains(key) && entry[key].is_string(); };
  for (const Json& entry : field->is_array() ? *field : Json::array({*field})) {
    if (!entry.is_object() || !is_text(entry, "name") || !is_text(entry, "template"))
      throw Error(Errc::bad_file,
                  path.string() + ": chat_template must be a string or a list of objects with name and template");
    add_template(entry["name"].get<std::string>(), entry["template"].get<std::string>(), parts);
  }
}

/// Newer checkpoints keep templates in files: chat_template.jinja, and further ones in additional_chat_templates/. Older
/// ones in a field of tokenizer_config.json, some in chat_template.json.
void read_chat_templates(const fs::path& folder, ModelParts& parts) {
  read_template_field(folder / "tokenizer_config.json", parts);
  if (!parts.chat_template) read_template_field(folder / "chat_template.json", parts);
  if (fs::exists(folder / "chat_template.jinja"))
    add_template("default", read_file(folder / "chat_template.jinja", most_template_bytes), parts);
  const fs::path more = folder / "additional_chat_templates";
  if (!fs::is_directory(more)) return;
  std::set<fs::path> files;  // in order of their names, whatever the file system says
  for (const auto& entry : fs::directory_iterator(more))
    if (entry.path().extension() == ".jinja") files.insert(entry.path());
  for (const fs::path& file : files) add_template(file.stem().string(), read_file(file, most_template_bytes), parts);
}

}  // namespace

ModelParts load_hf_folder(const fs::path& folder, const LoadOptions& options) {
  ModelParts parts;
  const fs::path config_path = folder / "config.json";
  parts.spec = spec_from_hf_config(read_file(config_path.string()), config_path.string(), options.context);
  report(options, "weights", 0.0);
  const Architecture& architecture = *architecture_by_name(parts.spec.architecture);
  const auto weights = std::make_shared<Weights>(Weights{options.weights, &architecture, {}, {}});
  parts.tensors = read_weights(folder, *weights, options);
  parts.storage = weights;
  if (parts.spec.tied_head) std::erase_if(parts.tensors, [](const Tensor& t) { return t.name == "output.weight"; });
  const bool tied = parts.spec.tied_head;
  const std::uint32_t vocab = parts.spec.vocab;
  complete_from_tensors(parts.spec, parts.tensors);
  parts.spec.tied_head = tied;  // the config's word: an untied model without a head is damaged
  if (parts.spec.vocab != vocab)
    throw Error(Errc::bad_model, folder.string() + ": the embedding has " + std::to_string(parts.spec.vocab) +
                                     " rows, vocab_size is " + std::to_string(vocab));
  split_fused(parts.spec, parts.tensors);
  reject_unknown(parts.spec, parts.tensors, folder.string());
  report(options, "weights", 1.0);

  report(options, "tokenizer", 0.0);
  set_tokenizer(parts, [&]() -> std::shared_ptr<const Tokenizer> {
    if (fs::exists(folder / "tokenizer.json"))
      return std::make_shared<const Tokenizer>(load_tokenizer_json(folder / "tokenizer.json"));
    if (fs::exists(folder / "tokenizer.model"))
      return std::make_shared<const Tokenizer>(load_sentencepiece_model(folder / "tokenizer.model"));
    return nullptr;
  });
  read_chat_templates(folder, parts);
  parts.name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  report(options, "tokenizer", 1.0);
  return parts;
}

}  // namespace frugal::model
