// quickstart: a support desk. Every request carries the shop's policy (about 900 tokens) and one short question; four
// are in flight at a time. The same questions are answered again and again, each time by a fresh engine: "plain"
// without any lever, "advised" with the one lever that the advisor recommends after a look at the plain run, "frugal"
// with the prefix cache and with caps per request type. What was spent is printed side by side and written as JSON; a
// report sets the advisor's prediction beside the outcome.
//
// Greedy decoding, so the levers must not change a token: each frugal answer equals the plain one, or is its beginning
// where a cap cut it. Exit code 0; 1 where that does not hold; 2 where something failed. One thread drives; the backend
// may use more.
#include "pick_backend.hpp"
#include "quickstart_advice.hpp"
#include "quickstart_report.hpp"

#include <frugal/endpoint/metered.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace quickstart;

struct Settings {
  std::string model = ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
  std::string backend;  // empty = the fastest one built in
  unsigned threads = 0;
  unsigned requests = 24;
  std::string json = "build/quickstart.json", report = "build/quickstart.html";
};

constexpr const char* help =
    R"(A support desk, answered without levers, with the one that is recommended, and with prefix cache and caps.
  --model M       GGUF file or Hugging Face folder (default .deps/models/SmolLM2-135M-Instruct.Q4_1.gguf)
  --backend B     cpu, torch or reference (default: the fastest one in this build)
  --threads N     computing threads (default: one per processor)
  --requests N    only the first N of the 24 questions; they take turns among the three types
  --json F        where the figures go (default build/quickstart.json)
  --report F      where the report goes (default build/quickstart.html)
)";

constexpr std::size_t in_flight = 4;
constexpr std::uint32_t generous_max_tokens =
    96;                                  // what a careful team sets for all requests when it has nothing better
constexpr std::size_t live_request = 4;  // shown as it is written: the first one that can find the policy in the cache

unsigned number(std::string_view option, std::string_view text, unsigned least, unsigned most) {
  unsigned value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    throw frugal::Error(frugal::Errc::invalid_argument, std::string(option) + " " + std::string(text) + ": must be " +
                                                            std::to_string(least) + " to " + std::to_string(most));
  return value;
}

void set(Settings& s, std::string_view option, std::string_view value) {
  if (option == "--model")
    s.model = value;
  else if (option == "--backend")
    s.backend = value;
  else if (option == "--threads")
    s.threads = number(option, value, 1, 1024);
  else if (option == "--requests")
    s.requests = number(option, value, 1, 24);
  else if (option == "--json")
    s.json = value;
  else if (option == "--report")
    s.report = value;
  else
    throw frugal::Error(frugal::Errc::invalid_argument, "unknown option " + std::string(option) + "; see --help");
}

/// Both "--option value" and "--option=value".
Settings parse(const std::vector<std::string_view>& arguments) {
  Settings s;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view option = arguments[i].substr(0, arguments[i].find('='));
    const bool joined = option.size() < arguments[i].size();
    const bool alone = !joined && i + 1 == arguments.size();
    set(s, option, joined ? arguments[i].substr(option.size() + 1) : alone ? std::string_view{} : arguments[++i]);
    if (alone) throw frugal::Error(frugal::Errc::invalid_argument, std::string(option) + ": its value is missing");
  }
  return s;
}

struct Question {
  std::string type, text;
};

struct Desk {
  std::string policy;
  std::vector<Question> questions;
};

std::ifstream open(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw frugal::Error(frugal::Errc::bad_file, path + ": cannot open");
  return file;
}

Desk read_desk(unsigned requests) {
  const std::string folder = FRUGAL_EXAMPLE_DATA;
  std::ostringstream policy;
  policy << open(folder + "/support_policy.txt").rdbuf();
  Desk desk{.policy = policy.str(), .questions = {}};
  std::ifstream file = open(folder + "/support_questions.tsv");
  for (std::string type, text;
       desk.questions.size() < requests && std::getline(file, type, '\t') && std::getline(file, text);)
    desk.questions.push_back({type, text});
  return desk;
}

frugal::Request request_for(const Desk& desk, const Question& question) {
  frugal::Request request;
  request.prompt = frugal::Chat{.messages = {{.role = "system", .content = desk.policy},  // the same for all: first
                                             {.role = "user", .content = question.text}}};
  request.type = question.type;
  request.max_tokens = generous_max_tokens;
  return request;
}

using Pull = std::function<void(frugal::EngineOptions&)>;

/// The levers of the last run. The caps are this desk's own: a policy answer needs two or three sentences.
void pull_levers(frugal::EngineOptions& options) {
  options.prefix_cache = frugal::greedy_dual_size();
  options.output = frugal::first_of({
      frugal::for_type("refund", frugal::max_tokens(64)), frugal::for_type("shipping", frugal::max_tokens(56)),
      frugal::for_type("account", frugal::max_tokens(48)),
      frugal::repeat_guard(),  // an answer that only repeats itself is over
  });
}

/// Four streams polled by one thread, which lends itself to the engine between the looks.
class Shift {
 public:
  Shift(frugal::Endpoint& engine, const Desk& desk, bool live)
      : engine_(engine), desk_(desk), live_(live), served_(desk.questions.size()) {}

  std::vector<Served> work() {
    while (next_ < served_.size() || !slots_.empty()) {
      while (slots_.size() < in_flight && next_ < served_.size()) accept();
      const bool worked = engine_.step() == frugal::Progress::worked;
      const bool heard = read_all();
      if (!worked && !heard) throw frugal::Error(frugal::Errc::internal, "the engine is idle with requests in flight");
    }
    return std::move(served_);
  }

 private:
  struct Slot {
    std::size_t index;
    frugal::Stream stream;
  };

  void accept() {
    const Question& question = desk_.questions[next_];
    served_[next_].type = question.type;
    slots_.push_back({next_, engine_.submit(request_for(desk_, question))});
    if (shown(next_)) std::printf("\n  [%s] %s\n  > ", question.type.c_str(), question.text.c_str());
    ++next_;
  }

  bool read_all() {
    bool heard = false;
    for (Slot& slot : slots_) heard |= read(slot);
    std::erase_if(slots_, [](const Slot& slot) { return slot.stream.done(); });
    return heard;
  }

  bool read(Slot& slot) {
    Served& served = served_[slot.index];
    bool heard = false;
    while (std::optional<frugal::Delta> delta = slot.stream.try_next()) {
      served.tokens.insert(served.tokens.end(), delta->tokens.begin(), delta->tokens.end());
      if (shown(slot.index)) std::printf("%s", delta->text.c_str()), std::fflush(stdout);
      heard = true;
    }
    if (!slot.stream.done()) return heard;
    served.finish = slot.stream.finish().value();
    if (served.finish.error) throw *served.finish.error;
    report(slot.index);
    return true;
  }

  void report(std::size_t index) {
    if (shown(index)) std::printf("\n\n"), std::fflush(stdout);
    ++answered_;
    if ((answered_ % 6 == 0 && !live_) || answered_ == served_.size())  // no line into the middle of the live answer
      std::fprintf(stderr, "  %zu of %zu answered\n", answered_, served_.size());
  }

  bool shown(std::size_t index) const { return live_ && index == std::min(live_request, served_.size() - 1); }

  frugal::Endpoint& engine_;
  const Desk& desk_;
  bool live_;
  std::vector<Served> served_;
  std::vector<Slot> slots_;
  std::size_t next_ = 0, answered_ = 0;
};

/// The lever as the advisor sets it; null = one that this desk has not built in.
Pull pull_of(const frugal::LeverAdvice& advice) {
  if (advice.lever == frugal::Lever::prefix_cache)
    return [](frugal::EngineOptions& o) { o.prefix_cache = frugal::greedy_dual_size(); };
  if (advice.lever != frugal::Lever::cap) return {};
  return [caps = advice.settings](frugal::EngineOptions& o) {
    std::vector<std::shared_ptr<frugal::OutputPolicy>> policies;
    for (const frugal::LeverSetting& cap : caps)
      policies.push_back(frugal::for_type(cap.what, frugal::max_tokens(static_cast<std::uint32_t>(cap.value))));
    o.output = frugal::first_of(std::move(policies));
  };
}

Run run(const Settings& s, const std::string& name, const std::shared_ptr<const frugal::Model>& model, const Desk& desk,
        const Pull& pull) {
  frugal::EngineOptions options;
  options.backend = pick_backend(s.backend, s.threads);
  options.models = {{.name = model->name(), .model = model}};
  options.kv_bytes = std::size_t{384} << 20;
  if (pull) pull(options);
  Run result{.name = name, .backend = std::string(options.backend->name())};
  std::fprintf(stderr, "%s: %zu requests, %zu in flight\n", name.c_str(), desk.questions.size(), in_flight);
  frugal::Engine engine(std::move(options));
  frugal::Meter meter({.prices = example_prices(model->name()),
                       .trace = [&](const frugal::Measured& m) { result.trace.push_back(m.record); }});
  frugal::Metered metered(engine, meter);
  const frugal::TimePoint begin = frugal::steady_clock().now();
  result.served = Shift(metered, desk, name == "frugal").work();
  result.wall = frugal::steady_clock().now() - begin;
  meter.flush();
  return result;
}

void write(const std::string& path, const std::string& text) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code ignored;
  if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) throw frugal::Error(frugal::Errc::bad_file, path + ": cannot write");
}

int serve(const Settings& s) {
  const Desk desk = read_desk(s.requests);
  std::fprintf(stderr, "loading %s\n", s.model.c_str());
  const auto model = frugal::load_model(s.model);
  const Run plain = run(s, "plain", model, desk, {});
  Advised advised(plain, model->name());
  const Pull recommended = advised.recommended() ? pull_of(*advised.recommended()) : Pull();
  std::fprintf(stderr, "%s", advised.recommendation(recommended != nullptr).c_str());
  std::optional<std::string> difference;
  if (recommended) {
    const Run pulled = run(s, "advised", model, desk, recommended);
    difference = first_difference(plain, pulled);
    advised.measured(pulled);
  }
  const Run levered = run(s, "frugal", model, desk, pull_levers);
  if (!difference) difference = first_difference(plain, levered);
  std::printf("%s\n%s", table(plain, levered).c_str(), advised.text().c_str());
  write(s.json, as_json(plain, levered, !difference));
  write(s.report, advised.html());
  std::printf("figures: %s\nreport%s: %s\n", s.json.c_str(), recommended ? " with prediction and outcome" : "",
              s.report.c_str());
  if (difference) std::fprintf(stderr, "NOT the same tokens: %s\n", difference->c_str());
  return difference ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  for (const std::string_view argument : arguments)
    if (argument == "--help" || argument == "-h") return std::printf("%s", help), 0;
  try {
    return serve(parse(arguments));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "quickstart: %s\n", e.what());
    return 2;
  }
}
