// bench_gpu DEVICE PART [SHAPE [FORMAT]]: one part of what bench/gpu.sh measures, as one line of JSON a figure.
//
//   copy       bytes a second that the device copies within its memory (read and written bytes both count)
//   decode     tokens a second at 1, 8 and 64 sequences, and the share of the copy's bandwidth that a step reaches
//   prefill    tokens and TFLOP a second of a long prompt
//   verify     the time of 1, 2, 4, 8 rows of one sequence
//   graphs     the step of 1, 8 and 64 sequences as one recorded graph against the same work queued call by call, by turns
//   attention  the step of 1, 8 and 64 sequences whose attention reads pages in place (FlashInfer) against one gather a layer, by
//              turns, and the same of one long sequence and of a prompt; where it was built in
//   speculate  tokens a second with a draft model whose tokens are accepted with probability 0.6 and 0.8, by decree; then
//              the same with recorded graphs
//   ttft       time to the first token behind a cached prefix of 16k tokens, and without it
// SHAPE is one of shapes.hpp's, FORMAT bf16, f16, q8_0, q4_0 or q4_1. Weights are random and made on the device. Where its
// memory does not suffice for all layers, they share the storage of one, and a figure says so.
#include <frugal/core/error.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/torch/backend.hpp>

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "cuda/kernels.hpp"
#include "gpu/rows.hpp"
#include "gpu/shapes.hpp"
#include "torch/device.hpp"
#include "torch/lane.hpp"

namespace frugal::bench {
namespace {

/// Bytes a second, read and written.
double copy_bandwidth(const Options& o) {
  const c10::InferenceMode mode;
  const aten::Device device = aten::open_device({.device = o.device});
  const aten::Lane lane(device.device);
  return lane.on([&] {
    const std::int64_t bytes = o.small ? std::int64_t{1} << 24 : std::int64_t{1} << 30;
    const auto options = at::TensorOptions(at::kByte).device(device.device);
    const at::Tensor from = at::empty({bytes}, options), to = at::empty({bytes}, options);
    std::vector<double> rates;
    for (int i = 0; i < 20; ++i) {
      const double before = now();
      to.copy_(from);
      lane.wait();
      rates.push_back(2.0 * static_cast<double>(bytes) / (now() - before));
    }
    return median(rates);
  });
}

void copy(const Options& o) { report(o, "copy", copy_bandwidth(o) / 1e9, "GB/s"); }

void decode(const Options& o) {
  const auto model = shaped_model(o.shape, o.type);
  const double bandwidth = copy_bandwidth(o);
  const std::uint32_t context = o.small ? 32 : 512;
  const int steps = o.small ? 3 : 64;
  Rows rows(o, {model}, (o.small ? 3 : 74) * (context + 128));
  for (const std::size_t batch : {1U, 8U, 64U}) {
    if (o.small && batch > 1) break;
    std::vector<Rows::Sequence> sequences;
    for (std::size_t i = 0; i < batch; ++i) {
      sequences.push_back(rows.sequence(context + 128));
      rows.fill(sequences.back(), context);
    }
    for (int i = 0; i < 8; ++i) rows.step(sequences, 1);
    std::vector<double> wall, device;
    for (int i = 0; i < steps; ++i) {
      wall.push_back(rows.step(sequences, 1));
      device.push_back(rows.device_seconds());
    }
    const double took = median(wall), length = static_cast<double>(sequences.front().length);
    const double bytes = static_cast<double>(bytes_read(*model)) +
                         static_cast<double>(batch) * length * static_cast<double>(rows.kv_bytes());
    const std::string at = " at batch " + std::to_string(batch);
    report(o, "decode" + at, static_cast<double>(batch) / took, "tok/s");
    report(o, "step" + at, took * 1e3, "ms");
    report(o, "device's share of the step" + at, median(device) / took, "");
    report(o, "share of copy bandwidth" + at, bytes / took / bandwidth, "");
  }
}

/// Both sides step by turns over the same weights. A processor records nothing: there both run as they are.
void graphs(const Options& o) {
  const auto model = shaped_model(o.shape, o.type);
  const std::uint32_t context = o.small ? 32 : 512;
  const std::size_t tokens = (o.small ? 3 : 74) * (context + 128);
  Rows queued(o, {model}, tokens), recorded(o, {model}, tokens, {.graphs = !o.small});
  for (const std::size_t batch : {1U, 8U, 64U}) {
    if (o.small && batch > 1) break;
    std::vector<Rows::Sequence> a, b;
    for (std::size_t i = 0; i < batch; ++i) {
      a.push_back(queued.sequence(context + 128)), b.push_back(recorded.sequence(context + 128));
      queued.fill(a.back(), context), recorded.fill(b.back(), context);
    }
    std::vector<double> one_by_one, at_once;
    for (int i = -8; i < (o.small ? 3 : 64); ++i) {
      const double x = queued.step(a, 1), y = recorded.step(b, 1);
      if (i < 0) continue;
      if (!o.small && !recorded.replayed()) throw Error(Errc::device, "a steady step was not replayed");
      one_by_one.push_back(x), at_once.push_back(y);
    }
    const std::string at = " at batch " + std::to_string(batch);
    report(o, "recorded step" + at, median(at_once) * 1e3, "ms");
    report(o, "queued against recorded" + at, median(one_by_one) / median(at_once), "x");
  }
}

/// So many sequences that grow from a length by so many rows a step.
struct Growing {
  const char* name;
  std::size_t sequences;
  std::uint32_t length, rows;
};

/// Both sides step by turns over the same weights. A processor has no FlashInfer: there both gather.
void compare_attention(const Options& o, const std::shared_ptr<const Model>& model, const Growing& g) {
  const int steps = o.small ? 3 : 24;
  const std::uint32_t length = o.small ? 32 : g.length, rows = o.small ? 1 : g.rows;
  const std::uint32_t most = length + rows * static_cast<std::uint32_t>(steps + 4) + 16;
  Rows gathered(o, {model}, g.sequences * most),
      paged(o, {model}, g.sequences * most, {.attention = o.small ? "gather" : "flashinfer"});
  std::vector<Rows::Sequence> a, b;
  for (std::size_t i = 0; i < g.sequences; ++i) {
    a.push_back(gathered.sequence(most)), b.push_back(paged.sequence(most));
    gathered.fill(a.back(), length), paged.fill(b.back(), length);
  }
  std::vector<double> one, other;
  for (int i = -4; i < steps; ++i) {
    const double x = gathered.step(a, rows), y = paged.step(b, rows);
    if (i >= 0) one.push_back(x), other.push_back(y);
  }
  report(o, std::string("pages in place, ") + g.name, median(other) * 1e3, "ms");
  report(o, std::string("gather against pages in place, ") + g.name, median(one) / median(other), "x");
}

void attention(const Options& o) {
  const cuda::Kernels* const kernels = cuda::device_kernels();
  const bool there = kernels != nullptr && kernels->paged_attention != nullptr;
  report(o, "FlashInfer is built in", there ? 1 : 0, "");
  if (!there && !o.small) return;
  const auto model = shaped_model(o.shape, o.type);
  for (const Growing& g : {Growing{"batch 1", 1, 512, 1},
                           {"batch 8", 8, 512, 1},
                           {"batch 64", 64, 512, 1},
                           {"one of 16k", 1, 16384, 1},
                           {"4 rows of one of 16k", 1, 16384, 4},
                           {"chunks of 512", 1, 512, 512}}) {
    compare_attention(o, model, g);
    if (o.small) break;
  }
}

void prefill(const Options& o) {
  const auto model = shaped_model(o.shape, o.type);
  const std::uint32_t length = o.small ? 64 : 8192;
  Rows rows(o, {model}, 8 * length);
  for (const std::size_t chunk : {512U, 1024U, 2048U, 4096U}) {
    if (o.small && chunk > 512) break;
    std::vector<double> rates;
    std::vector<Rows::Sequence> one{rows.sequence(length)};
    for (int round = 0; round < 3; ++round) {
      double took = 0;
      one.front().length = 0;
      while (one.front().length < length)
        took += rows.step(one, std::min<std::size_t>(chunk, length - one.front().length), 0, false);
      rates.push_back(static_cast<double>(length) / took);
    }
    const std::string with = " in chunks of " + std::to_string(chunk);
    report(o, "prefill" + with, median(rates), "tok/s");
    report(o, "prefill" + with, median(rates) * operations_a_row(*model) / 1e12, "TFLOP/s");
  }
}

void verify(const Options& o) {
  const auto model = shaped_model(o.shape, o.type);
  const std::uint32_t context = o.small ? 32 : 1024;
  Rows rows(o, {model}, 16 * (context + 1024));
  std::map<std::size_t, double> times;
  for (const std::size_t width : {1U, 2U, 4U, 8U, 16U}) {
    std::vector<Rows::Sequence> one{rows.sequence(context + 1024)};
    rows.fill(one.front(), context);
    std::vector<double> wall;
    for (int i = 0; i < (o.small ? 3 : 40); ++i) {
      one.front().length = context;
      wall.push_back(rows.step(one, width));
    }
    times[width] = median(wall);
    report(o, std::to_string(width) + " rows", times[width] * 1e3, "ms");
  }
  report(o, "8 rows against 1", times[8] / times[1], "x");
}

/// Rounds of `drafts` draft steps and one verification; each draft holds with probability `acceptance`.
double speculative_rate(const Options& o, Rows& rows, std::uint32_t drafts, double acceptance) {
  const std::uint32_t context = o.small ? 32 : 512;
  std::vector<Rows::Sequence> target{rows.sequence(context + 1024, 0)}, draft{rows.sequence(context + 1024, 1)};
  rows.fill(target.front(), context, 0), rows.fill(draft.front(), context, 1);
  std::mt19937 random(1);
  std::bernoulli_distribution holds(acceptance);
  const int rounds = o.small ? 3 : 60;
  double took = 0, tokens = 0;
  for (int round = -5; round < rounds; ++round) {
    double spent = rows.draft(draft, drafts, 1);
    spent += rows.step(target, drafts + 1, 0);
    std::uint32_t accepted = 0;
    while (accepted < drafts && holds(random)) ++accepted;
    target.front().length = draft.front().length = context;  // what was accepted makes no difference to the next round
    if (round >= 0) took += spent, tokens += accepted + 1.0;
  }
  return tokens / took;
}

void speculate_with(const Options& o, bool graphs) {
  const auto target = shaped_model(o.shape, o.type);
  const auto draft = shaped_model(o.small ? "tiny" : "smollm2-135m", o.type, target->spec().vocab);
  Rows rows(o, {target, draft}, 24 * 1600, {.graphs = graphs});
  const std::string as = graphs ? "recorded, " : "";
  std::vector<Rows::Sequence> one{rows.sequence(1600)};
  rows.fill(one.front(), o.small ? 32 : 512);
  std::vector<double> wall;
  for (int i = 0; i < (o.small ? 3 : 40); ++i) wall.push_back(rows.step(one, 1));
  const double plain = 1.0 / median(wall);
  report(o, as + "without drafts", plain, "tok/s");
  for (const double acceptance : {0.6, 0.8}) {
    double best = 0;
    std::uint32_t best_drafts = 0;
    for (const std::uint32_t drafts : {2U, 4U, 6U, 8U}) {
      const double rate = speculative_rate(o, rows, drafts, acceptance);
      if (rate > best) best = rate, best_drafts = drafts;
    }
    const std::string at = " at acceptance " + std::to_string(acceptance).substr(0, 3);
    report(o, as + "with " + std::to_string(best_drafts) + " drafts" + at, best, "tok/s");
    report(o, as + "speculation against none" + at, best / plain, "x");
  }
}

/// Without and with recorded graphs; a processor records nothing.
void speculate(const Options& o) {
  speculate_with(o, false);
  if (!o.small) speculate_with(o, true);
}

void ttft(const Options& o) {
  const auto model = shaped_model(o.shape, o.type);
  const std::size_t prefix = o.small ? 256 : 16384;
  EngineOptions options;
  options.kv_bytes = (3 * prefix + 4096) * 2 * kv_token_bytes(*model);  // of a CPU, which computes in fp32
  options.backend = opened(o);
  fit(o, *options.backend, {model}, options.kv_bytes);
  options.models = {{"m", model}};
  options.prefix_cache = greedy_dual_size();
  options.prefill_chunk = 1024, options.step_tokens = 2048;
  Engine engine(std::move(options));
  const auto ask = [&](Token seed, Token last) {
    TokenPrompt prompt;
    for (std::size_t i = 0; i < prefix; ++i) prompt.tokens.push_back(static_cast<Token>((i * 31 + i / 7) % 97) + seed);
    for (int i = 0; i < 16; ++i) prompt.tokens.push_back(last);
    Request request{prompt};
    request.max_tokens = 1;
    const double before = now();
    const Answer answer = engine.submit(std::move(request)).wait();
    if (answer.finish.error) throw *answer.finish.error;
    return now() - before;
  };
  ask(100, 1);
  report(o, "first token, prefix computed", ask(200, 2) * 1e3, "ms");
  std::vector<double> warm;
  for (Token i = 0; i < 8; ++i) warm.push_back(ask(200, 10 + i));
  report(o, "first token, prefix of 16k cached", median(warm) * 1e3, "ms");
}

int run(const Options& o) {
  const std::map<std::string, std::function<void(const Options&)>> parts{
      {"copy", copy},     {"decode", decode},       {"prefill", prefill},     {"verify", verify},
      {"graphs", graphs}, {"attention", attention}, {"speculate", speculate}, {"ttft", ttft}};
  const auto part = parts.find(o.part);
  if (part == parts.end()) return std::fputs("bench_gpu: unknown part\n", stderr), 2;
  if (!is_shape(o.shape)) return std::fputs("bench_gpu: unknown shape\n", stderr), 2;
  try {
    part->second(o);
  } catch (const Error& e) {
    std::fprintf(stderr, "bench_gpu: %s\n", e.message().c_str());
    return e.code() == Errc::unavailable ? 4 : 1;
  }
  return 0;
}

}  // namespace
}  // namespace frugal::bench

int main(int argc, char** argv) {
  using namespace frugal;
  bench::Options o;
  const std::map<std::string, DType> formats{
      {"bf16", DType::bf16}, {"f16", DType::f16}, {"q8_0", DType::q8_0}, {"q4_0", DType::q4_0}, {"q4_1", DType::q4_1}};
  if (argc < 3) return std::fputs("usage: bench_gpu DEVICE PART [SHAPE [FORMAT]]\n", stderr), 2;
  o.device = argv[1], o.part = argv[2];
  if (argc > 3) o.shape = argv[3];
  if (argc > 4) o.format = argv[4];
  if (formats.count(o.format) == 0) return std::fputs("bench_gpu: unknown format\n", stderr), 2;
  o.type = formats.at(o.format), o.small = o.device == "cpu";
  return bench::run(o);
}
