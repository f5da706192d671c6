// bench_maskbench FILE [MODEL]: judges the instances of a MaskBench sample (JSON lines: id, schema, tests) by the engine, and
// with a model's vocabulary takes the time of compiling and of each mask.
#include <frugal/grammar/grammar.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>

namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double, std::micro>(Clock::now() - start).count(); }

void print_times(const char* name, std::vector<double> us) {
  if (us.empty()) return;
  std::sort(us.begin(), us.end());
  double sum = 0;
  for (const double t : us) sum += t;
  const auto at = [&](double p) { return us[static_cast<std::size_t>(p * static_cast<double>(us.size() - 1))]; };
  std::cout << name << " n " << us.size() << " mean " << sum / static_cast<double>(us.size()) << " p50 " << at(0.5) << " p99 "
            << at(0.99) << " p99.9 " << at(0.999) << " max " << us.back() << " us\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::ifstream file(argv[1]);
  std::string line;
  std::vector<double> compile;
  std::size_t all = 0, right = 0, refused = 0, wrong_rejected = 0, wrong_accepted = 0;
  std::map<std::string, std::size_t> why;
  while (std::getline(file, line)) {
    const Json one = Json::parse(line);
    const std::string schema = one["schema"].dump(), id = one["id"];
    std::vector<std::string> documents;
    for (const Json& test : one["tests"]) documents.push_back(test["data"].dump());
    ++all;
    try {
      const auto start = Clock::now();
      (void)frugal::grammar::check_json_schema(schema, {});
      compile.push_back(since(start));
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
  std::cout << "schemas " << all << " right " << right << " refused " << refused << " valid rejected in " << wrong_rejected
            << " invalid accepted in " << wrong_accepted << '\n';
  print_times("compile", compile);
}
