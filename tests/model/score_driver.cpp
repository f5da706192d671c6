// score_driver JOBS: loads models and writes their logits, for layouts.py. JOBS holds a line a job:
//   MODEL BACKEND CONTEXT OUT ID...      BACKEND is reference or cpu (fp32 keys, 16-bit activations)
// OUT gets the logits of all positions as float32. A model that does not load leaves its error in OUT.error.
#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>
#include <frugal/model/model.hpp>

#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <vector>

namespace {

using namespace frugal;

std::vector<float> score(Backend& backend, const std::shared_ptr<const Model>& model, const std::vector<Token>& ids) {
  const ModelId id = backend.add_model(model);
  constexpr std::uint32_t page_tokens = 32;
  const std::size_t granules = (page_tokens * backend.kv_bytes_per_token(id) + granule_bytes - 1) / granule_bytes;
  const std::array geometry{PageGeometry{.page_tokens = page_tokens, .page_bytes = granules * granule_bytes}};
  std::vector<Granule> pages((ids.size() + page_tokens - 1) / page_tokens);
  for (std::size_t p = 0; p < pages.size(); ++p) pages[p] = static_cast<Granule>(p * granules);
  backend.bind_arena({.bytes = pages.size() * granules * granule_bytes, .models = geometry});
  std::vector<float> logits(ids.size() * model->spec().vocab);
  const std::array segments{Segment{.tokens = ids, .start = 0, .pages = pages, .logits = logits}};
  backend.forward({.model = id, .segments = segments, .drawn = {}});
  return logits;
}

void run(const std::string& line) {
  std::istringstream in(line);
  std::string path, name, out;
  LoadOptions options;
  in >> path >> name >> options.context >> out;
  std::vector<Token> ids;
  for (Token id = 0; in >> id;) ids.push_back(id);
  try {
    const auto model = load_model(path, options);
    const auto backend =
        name == "cpu" ? cpu_backend({.threads = 2, .kv = KvType::fp32, .fine = true}) : reference_backend();
    const std::vector<float> logits = score(*backend, model, ids);
    std::ofstream(out, std::ios::binary)
        .write(reinterpret_cast<const char*>(logits.data()),
               static_cast<std::streamsize>(logits.size() * sizeof(float)));
    if (model->tokenizer_error() != nullptr) std::ofstream(out + ".error") << model->tokenizer_error()->what();
  } catch (const Error& error) {
    std::ofstream(out + ".error") << error.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: score_driver JOBS\n", stderr), 2;
  std::ifstream jobs(argv[1]);
  for (std::string line; std::getline(jobs, line);) run(line);
  return 0;
}
