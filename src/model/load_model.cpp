// load_model: what kind of thing the path names, and how far loading has come.
#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <filesystem>
#include <new>

#include "model/loaders.hpp"

namespace frugal {
namespace {

namespace fs = std::filesystem;

ModelParts load_parts(const fs::path& path, const LoadOptions& options) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw Error(Errc::bad_file, path.string() + ": does not exist");
  if (fs::is_directory(status)) return model::load_hf_folder(path, options);
  // A file of a Hugging Face folder stands for the folder; everything else must be a GGUF, whatever its name.
  const bool of_folder = path.filename() == "config.json" || path.extension() == ".safetensors" ||
                         path.filename() == "model.safetensors.index.json";
  return of_folder ? model::load_hf_folder(path.parent_path().empty() ? fs::path(".") : path.parent_path(), options)
                   : model::load_gguf(path, options);
}

}  // namespace

void model::set_tokenizer(ModelParts& parts, const std::function<std::shared_ptr<const Tokenizer>()>& make) {
  try {
    parts.tokenizer = make();
  } catch (const Error& error) {
    if (error.code() != Errc::unsupported) throw;
    parts.tokenizer_error = error;
  }
}

std::shared_ptr<const Model> load_model(const std::string& path, const LoadOptions& options) {
  try {
    auto model = std::make_shared<const Model>(load_parts(fs::path(path), options));
    if (options.progress) options.progress("ready", 1.0);
    return model;
  } catch (const std::bad_alloc&) {
    throw Error(Errc::out_of_memory, path + ": not enough memory to load the model");
  } catch (const fs::filesystem_error& error) {
    throw Error(Errc::bad_file, path + ": " + error.code().message());
  }
}

}  // namespace frugal
