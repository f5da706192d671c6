// meter_overhead MODEL [threads] [answer tokens]: what measuring costs beside the decode step that it measures.
// Three things, in turn, best of several rounds: an engine's decode step, one token and one request through Metered
// (an endpoint that answers at once, with and without it; prices, a trace on disk, 2 keys), and Meter::record alone.
#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>
#include <frugal/endpoint/metered.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/engine/step_meter.hpp>
#include <frugal/meter/trace_writer.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <vector>

using namespace frugal;

namespace {

using Steady = std::chrono::steady_clock;

constexpr int rounds = 7;
constexpr std::uint64_t prompt_tokens = 1024;

template <class F>
double ns_of(F&& f) {
  const auto start = Steady::now();
  f();
  return std::chrono::duration<double, std::nano>(Steady::now() - start).count();
}

/// Answers every request at once, one token a delta: nothing but the calls remains.
class Instant final : public Endpoint {
 public:
  explicit Instant(std::uint64_t tokens) : tokens_(tokens), prompt_(prompt_tokens) {
    std::iota(prompt_.begin(), prompt_.end(), 0);
  }
  std::string_view name() const override { return "instant"; }
  Call start(Request, std::shared_ptr<Sink> sink) override {
    sink->on_prompt(prompt_);
    for (std::uint64_t i = 0; i < tokens_; ++i) sink->on_delta({" word", {static_cast<Token>(i)}, {}});
    Finish end;
    end.reason = FinishReason::stop, end.model = "m", end.usage = {.input = prompt_tokens, .output = tokens_};
    TokenLedger owners;
    owners.prompt_computed = prompt_tokens, owners.decoded = tokens_;
    end.ledger.attempts.push_back({"instant", "m", end.usage, owners});
    sink->on_finish(std::move(end));
    return {};
  }
  Progress step() override { return Progress::idle; }

 private:
  std::uint64_t tokens_;
  std::vector<Token> prompt_;
};

struct Deaf final : Sink {
  void on_delta(Delta) override {}
  void on_finish(Finish) override {}
};

struct Measuring {
  std::string path = (std::filesystem::temp_directory_path() / "frugal_meter_overhead.jsonl").string();
  TraceWriter trace{{.path = path, .most_bytes = std::uint64_t{64} << 20U, .keep = 1}};
  Meter meter{{.prices = PriceBook::built_in().with("m", {.input = 1, .cached_read = 0.1, .output = 5}),
               .slos = {{.ttft = std::chrono::seconds(1)}},
               .trace = [this](const Measured& m) { trace.write(m); }}};
  ~Measuring() { std::filesystem::remove(path); }
};

/// Nanoseconds of a request with `tokens` tokens of answer.
double request_ns(Endpoint& endpoint) {
  constexpr int times = 200;
  const auto sink = std::make_shared<Deaf>();
  return ns_of([&] {
           for (int i = 0; i < times; ++i) {
             Request r;
             r.type = i % 2 == 0 ? "chat" : "mail", r.tenant = "acme";
             endpoint.start(std::move(r), sink);
           }
         }) /
         times;
}

Measured one_record() {
  Measured m;
  m.record.type = "chat", m.record.tenant = "acme", m.record.model = "m", m.record.endpoint = "here";
  m.record.prompt_tokens = prompt_tokens, m.record.output_tokens = 32, m.record.ttft_ms = 80, m.record.e2e_ms = 400;
  m.record.attempts.push_back({"here", "m", {.input = prompt_tokens, .output = 32}, {}, std::nullopt, true});
  m.gaps.add(0.01, 31);
  return m;
}

double record_ns(Meter& meter) {
  constexpr int times = 2000;
  std::vector<Measured> ready(times, one_record());
  return ns_of([&] {
           for (Measured& m : ready) meter.started(), meter.record(std::move(m));
         }) /
         times;
}

/// Seconds inside forward of a decode step, over one answer.
double decode_step_ns(Engine& engine, const StepMeter& steps) {
  const StepTotals before = steps.totals();
  Request r;
  r.prompt = TokenPrompt{std::vector<Token>(64, 11)}, r.max_tokens = 64;
  engine.run(std::move(r));
  const StepTotals after = steps.totals();
  return 1e9 * (after.decode_seconds - before.decode_seconds) /
         static_cast<double>(after.decode_rows - before.decode_rows);
}

double slope(double many, double few, std::uint64_t more) {
  return std::max(0.0, many - few) / static_cast<double>(more);
}

void measure(const char* path, unsigned threads, std::uint64_t answer) {
  const auto steps = std::make_shared<StepMeter>();
  EngineOptions options;
  options.backend = cpu_backend({.threads = threads});
  options.models = {{.name = "m", .model = load_model(path)}};
  options.observer = steps;
  Engine engine(std::move(options));
  decode_step_ns(engine, *steps);

  Measuring measuring;
  constexpr std::uint64_t few = 8, many = 1032;
  Instant short_answer(few), long_answer(many);
  Metered metered_short(short_answer, measuring.meter), metered_long(long_answer, measuring.meter);
  double step = 1e30, record = 1e30;
  double plain[2] = {1e30, 1e30}, with_meter[2] = {1e30, 1e30};  // a request of few tokens, of many
  const auto best = [](double& so_far, double ns) { so_far = std::min(so_far, ns); };
  for (int round = 0; round < rounds; ++round) {
    best(step, decode_step_ns(engine, *steps));
    best(plain[0], request_ns(short_answer)), best(with_meter[0], request_ns(metered_short));
    best(plain[1], request_ns(long_answer)), best(with_meter[1], request_ns(metered_long));
    best(record, record_ns(measuring.meter));
  }
  // Bests are subtracted, for the best of the differences would prefer rounds in which the plain side was slow.
  const double token = slope(with_meter[1] - plain[1], with_meter[0] - plain[0], many - few);
  const double request = std::max(0.0, with_meter[0] - plain[0] - static_cast<double>(few) * token);
  const double each = token + request / static_cast<double>(answer);
  std::printf("decode step, %u threads       %10.0f ns\n", threads, step);
  std::printf("Metered, a token             %10.0f ns  %.4f %% of a step\n", token, 100 * token / step);
  std::printf("Metered, a request           %10.0f ns  with %llu prompt tokens hashed and its line of trace\n", request,
              static_cast<unsigned long long>(prompt_tokens));
  std::printf("Meter::record alone          %10.0f ns  and a line of trace without hashes\n", record);
  std::printf("a token of a %llu-token answer %8.0f ns  %.4f %% of a step (at most 1 %%)\n",
              static_cast<unsigned long long>(answer), each, 100 * each / step);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return std::fprintf(stderr, "usage: meter_overhead MODEL [threads] [answer tokens]\n"), 2;
  measure(argv[1], argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 2,
          argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 32);
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
