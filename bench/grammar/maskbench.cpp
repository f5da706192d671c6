// bench_maskbench FILE [MODEL [SLOW]]: judges the instances of a MaskBench sample (JSON lines: id, schema, tests) by the
// engine, and with a model's vocabulary takes the time of compiling, of each mask, and of asking for a way to the end
// (close_when_short). Masks that take more than SLOW microseconds (1000) are listed with the text before them.
#include <frugal/grammar/grammar.hpp>

#include <nlohmann/json.hpp>

#include <frugal/model/model.hpp>
#include <frugal/text/tokenizer.hpp>

#include <ctime>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>

namespace {

using Json = nlohmann::ordered_json;

double cpu_us() {  // of this thread
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) * 1e-3;
}

void print_times(const char* name, std::vector<double> us) {
  if (us.empty()) return;
  std::sort(us.begin(), us.end());
  double sum = 0;
  for (const double t : us) sum += t;
  const auto at = [&](double p) { return us[static_cast<std::size_t>(p * static_cast<double>(us.size() - 1))]; };
  std::cout << name << " n " << us.size() << " mean " << sum / static_cast<double>(us.size()) << " p50 " << at(0.5)
            << " p99 " << at(0.99) << " p99.9 " << at(0.999) << " max " << us.back() << " us\n";
}

struct Masks {
  std::vector<double> us{}, closes{};
  double slow = 1000;
};

// The time of each mask along a valid document; false where a mask forbids one of its tokens.
bool take_masks(const std::string& id, const std::string& schema, const std::string& text,
                const frugal::Tokenizer& tokenizer, Masks& masks) {
  const auto source = frugal::grammar::json_schema(schema);
  const auto constraint = source->open(tokenizer).value();
  std::vector<std::uint32_t> words((tokenizer.size() + 31) / 32);
  std::string before;
  for (const frugal::Token t : tokenizer.encode(text, {.parse_special = false, .add_bos = false})) {
    const double start = cpu_us();
    constraint->mask(words);
    masks.us.push_back(cpu_us() - start);
    if (masks.us.back() > masks.slow) {
      constexpr std::size_t kShown = 60;
      const std::string shown = before.substr(before.size() - std::min(kShown, before.size()));
      std::cout << "SLOWMASK " << masks.us.back() << ' ' << id << ' '
                << Json(shown).dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    }
    before += tokenizer.bytes(t);
    if (((words[static_cast<std::size_t>(t) / 32] >> (t % 32)) & 1) == 0 || !constraint->advance(t)) return false;
    const double asked = cpu_us();
    if (!constraint->closes(10'000, nullptr)) std::cout << "NOWAY " << id << '\n';
    masks.closes.push_back(cpu_us() - asked);
  }
  return constraint->state() != frugal::ConstraintState::open;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::shared_ptr<const frugal::Model> model;
  if (argc > 2) model = frugal::load_model(argv[2]);
  std::ifstream file(argv[1]);
  std::string line;
  std::vector<double> compile;
  std::size_t all = 0, right = 0, refused = 0, wrong_rejected = 0, wrong_accepted = 0;
  Masks masks;
  if (argc > 3) masks.slow = std::stod(argv[3]);
  std::size_t wrong_masks = 0;
  std::map<std::string, std::size_t> why;
  while (std::getline(file, line)) {
    const Json one = Json::parse(line);
    const std::string schema = one["schema"].dump(), id = one["id"];
    std::vector<std::string> documents;
    for (const Json& test : one["tests"]) documents.push_back(test["data"].dump());
    ++all;
    try {
      const double start = cpu_us();
      (void)frugal::grammar::check_json_schema(schema, {});
      compile.push_back(cpu_us() - start);
      if (compile.back() > 20'000) std::cout << "SLOW " << id << ' ' << compile.back() << '\n';
      const auto check = frugal::grammar::check_json_schema(schema, documents);
      if (!check.compiled) {
        ++refused;
        const auto& r = check.refused[0];
        std::cout << "REFUSED " << id << ' ' << r.keyword << ' ' << r.path << ' ' << r.why << '\n';
        ++why[r.keyword + ": " + r.why.substr(0, 60)];
        continue;
      }
      bool rejected = false, accepted = false;
      for (std::size_t i = 0; i < documents.size(); ++i) {
        const bool valid = one["tests"][i]["valid"];
        if (valid == check.valid[i]) continue;
        (valid ? rejected : accepted) = true;
        std::cout << (valid ? "REJECTED " : "ACCEPTED ") << id << ' ' << i << '\n';
      }
      if (model) {
        for (std::size_t i = 0; i < documents.size(); ++i) {
          if (one["tests"][i]["valid"] && check.valid[i]) {
            for (const std::string& text : {documents[i], one["tests"][i]["data"].dump(2)}) {
              if (!take_masks(id, schema, text, *model->tokenizer(), masks)) {
                std::cout << "MASK " << id << ' ' << i << '\n';
                ++wrong_masks;
              }
            }
          }
        }
      }
      wrong_rejected += rejected;
      wrong_accepted += accepted;
      right += !rejected && !accepted;
    } catch (const std::exception& error) {
      ++refused;
      std::cout << "ERROR " << id << ' ' << error.what() << '\n';
      ++why[std::string("error: ") + error.what()];
    }
  }
  for (const auto& [reason, count] : why) std::cout << count << "  " << reason << '\n';
  std::cout << "schemas " << all << " right " << right << " refused " << refused << " valid rejected in "
            << wrong_rejected << " invalid accepted in " << wrong_accepted << '\n';
  print_times("compile", compile);
  print_times("mask", masks.us);
  print_times("closes", masks.closes);
  if (model) std::cout << "tokens of valid documents that a mask forbids: " << wrong_masks << '\n';
}
