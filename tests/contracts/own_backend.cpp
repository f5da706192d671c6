#include "own_backend.hpp"

#include <frugal/backend/sampling.hpp>
#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>
#include <frugal/text/tokenizer.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace stranger {
namespace {

constexpr std::uint32_t vocabulary = 272, width = 32;

BpeVocabulary bytes_as_tokens() {
  BpeVocabulary v;
  int next = 256;
  for (int b = 0; b < 256; ++b) {  // GPT-2's alphabet: printable Latin-1 stands for itself, the rest from U+0100 on
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    const int c = printable ? b : next++;
    v.tokens.push_back(c < 128 ? std::string(1, static_cast<char>(c))
                               : std::string{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))});
  }
  v.tokens.emplace_back("<start>");
  v.tokens.emplace_back("<end>");
  v.kinds.assign(256, BpeVocabulary::Kind::normal);
  v.kinds.insert(v.kinds.end(), 2, BpeVocabulary::Kind::control);
  v.bos = 256, v.eos = 257, v.end_tokens = {257};
  return v;
}

DecoderSpec own_spec() {
  DecoderSpec spec;
  spec.architecture = "llama";
  spec.layers = 1, spec.heads = 1, spec.kv_heads = 1;
  spec.d_model = spec.d_ff = spec.head_dim = spec.rope_dims = width;
  spec.vocab = vocabulary, spec.context = 512, spec.tied_head = true;
  return spec;
}

}  // namespace

std::shared_ptr<const Model> own_model() {
  ModelParts parts;
  parts.name = "own";
  parts.spec = own_spec();
  const auto zeros = std::make_shared<std::vector<float>>(std::size_t{vocabulary} * width, 0.5F);
  const auto add = [&](const char* name, std::uint64_t rows) {
    const std::span<const float> values(zeros->data(), rows * width);
    parts.tensors.push_back({name, DType::f32, rows, width, std::as_bytes(values)});
  };
  add("token_embd.weight", vocabulary);
  for (const char* norm : {"output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) add(norm, 1);
  for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
    add(("blk.0." + std::string(part) + ".weight").c_str(), width);
  parts.storage = zeros;
  parts.tokenizer = std::make_shared<const Tokenizer>(bytes_as_tokens());
  return std::make_shared<const Model>(std::move(parts));
}

std::vector<float> logits_after(const std::vector<Cell>& cells) {
  std::uint64_t h = 1469598103934665603ULL;
  for (const Cell& c : cells) h = (h ^ (static_cast<std::uint64_t>(c.token + 1) << 8 ^ c.adapter)) * 1099511628211ULL;
  std::vector<float> logits(vocabulary);
  for (float& logit : logits) {
    h ^= h >> 29, h *= 0xbf58476d1ce4e5b9ULL, h ^= h >> 32;
    logit = static_cast<float>(h % 10007) / 1000.0F;
  }
  std::fill(logits.begin() + 256, logits.end(), -50.0F);
  return logits;
}

std::vector<Token> answer_to(const std::vector<Token>& prompt, std::size_t tokens, std::uint32_t adapter) {
  std::vector<Cell> cells;
  for (const Token t : prompt) cells.push_back({t, adapter});
  std::vector<Token> answer;
  while (answer.size() < tokens) {
    const std::vector<float> logits = logits_after(cells);
    answer.push_back(static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    cells.push_back({answer.back(), adapter});
  }
  return answer;
}

std::vector<Token> prompt_of(std::size_t tokens, std::uint32_t seed) {
  std::vector<Token> out(tokens);
  for (std::size_t i = 0; i < tokens; ++i) out[i] = static_cast<Token>((i * 7 + seed * 31 + i * i % 13) % 256);
  return out;
}

Request request_of(std::vector<Token> prompt, std::uint32_t max_tokens) {
  Request request{TokenPrompt{std::move(prompt)}};
  request.max_tokens = max_tokens;
  return request;
}

EngineOptions options_with(std::shared_ptr<Backend> backend) {
  EngineOptions options;
  options.backend = std::move(backend);
  options.models.push_back({"own", own_model()});
  options.kv_bytes = std::size_t{1} << 20;
  options.page_tokens = 16;
  return options;
}

/// A batch with copies of its inputs, because these live until submit() returns only.
struct OwnBackend::Pass {
  struct Draw {
    DrawSpec spec;
    Sampling sampling;
    std::vector<Token> prompt, output;
    std::vector<std::uint32_t> mask;
    std::vector<float> q;
  };
  struct Rows {
    Segment segment;
    std::vector<Token> tokens;
    std::vector<Granule> pages;
    std::vector<DrawRef> from;
    std::vector<Draw> draws;
  };
  explicit Pass(const Batch& batch) : drawn(batch.drawn), layers(batch.layers) {
    for (const Segment& s : batch.segments) {
      Rows rows{
          s, {s.tokens.begin(), s.tokens.end()}, {s.pages.begin(), s.pages.end()}, {s.from.begin(), s.from.end()}, {}};
      for (const DrawSpec& d : s.draws)
        rows.draws.push_back({d,
                              *d.sampling,
                              {d.prompt.begin(), d.prompt.end()},
                              {d.output.begin(), d.output.end()},
                              {d.mask.begin(), d.mask.end()},
                              {d.draft_distribution.begin(), d.draft_distribution.end()}});
      segments.push_back(std::move(rows));
    }
  }
  std::vector<Rows> segments{};
  std::span<TokenScore> drawn;
  std::optional<std::uint32_t> layers;
};

OwnBackend::OwnBackend(std::uint32_t max_rows) : max_rows_(max_rows), worker_([this] { work(); }) {}

OwnBackend::~OwnBackend() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true, held_ = false;
  }
  changed_.notify_all();
  worker_.join();
}

BackendTraits OwnBackend::traits() const {
  ++const_cast<OwnBackend*>(this)->traits_asked;
  BackendTraits traits;
  traits.device = "own";
  traits.batch_invariant = traits.hidden_states = traits.async = true;
  traits.max_rows = max_rows_;
  traits.widths = {1, 4}, traits.batch_sizes = {1, 8}, traits.chunk = 16, traits.step_rows = 32;
  traits.free_bytes = std::size_t{8} << 20, traits.workspace_bytes = 4096;
  return traits;
}

ModelId OwnBackend::add_model(std::shared_ptr<const Model>) { return ModelId(0); }

void OwnBackend::bind_arena(const ArenaLayout& layout) {
  page_tokens_ = layout.models[0].page_tokens;
  page_bytes_ = layout.models[0].page_bytes;
  arena_.resize(layout.bytes);
  for (std::size_t at = 0; at + sizeof(Cell) <= arena_.size(); at += sizeof(Cell)) {
    const Cell nothing;
    std::memcpy(arena_.data() + at, &nothing, sizeof nothing);
  }
}

std::optional<AdapterId> OwnBackend::find_adapter(ModelId, std::string_view name) const {
  if (name == "formal") return AdapterId(1);
  if (name == "casual") return AdapterId(2);
  return std::nullopt;
}

Cell& OwnBackend::cell(std::span<const Granule> pages, std::size_t position) {
  std::byte* page = arena_.data() + static_cast<std::size_t>(pages[position / page_tokens_]) * granule_bytes;
  return reinterpret_cast<Cell*>(page)[position % page_tokens_];
}

Ticket OwnBackend::queue(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  jobs_.emplace_back(next_, std::move(job));
  changed_.notify_all();
  return Ticket(next_++);
}

void OwnBackend::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || (!held_ && !jobs_.empty()); });
    if (jobs_.empty()) return;
    auto [ticket, job] = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    std::exception_ptr failure;
    try {
      if (broken_) throw Error(Errc::device, "own: the device is gone");
      job();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    done_.emplace(ticket, failure);
    changed_.notify_all();
  }
}

PassReport OwnBackend::wait(Ticket ticket) {
  std::unique_lock lock(mutex_);
  if (ticket.value == 0 || ticket.value >= next_) throw Error(Errc::invalid_argument, "own: no such ticket");
  changed_.wait(lock, [&] { return done_.contains(ticket.value); });
  const std::exception_ptr failure = done_.extract(ticket.value).mapped();
  if (failure) std::rethrow_exception(failure);
  return {.device_time = std::chrono::microseconds(10)};
}

void OwnBackend::hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void OwnBackend::release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

void OwnBackend::copy_pages(std::span<const PageCopy> copies) {
  wait(queue([this, all = std::vector<PageCopy>(copies.begin(), copies.end())] {
    for (const PageCopy& c : all)
      std::memcpy(&cell(std::span(&c.to, 1), 0), &cell(std::span(&c.from, 1), 0), c.tokens * sizeof(Cell));
  }));
}

Ticket OwnBackend::read_pages(std::span<const PageRead> pages) {
  return queue([this, all = std::vector<PageRead>(pages.begin(), pages.end())] {
    for (const PageRead& p : all) std::memcpy(p.bytes.data(), &cell(std::span(&p.page, 1), 0), p.bytes.size());
  });
}

Ticket OwnBackend::write_pages(std::span<const PageWrite> pages) {
  return queue([this, all = std::vector<PageWrite>(pages.begin(), pages.end())] {
    for (const PageWrite& p : all) std::memcpy(&cell(std::span(&p.page, 1), 0), p.bytes.data(), p.bytes.size());
  });
}

Ticket OwnBackend::submit(const Batch& batch) {
  auto pass = std::make_shared<Pass>(batch);
  const std::lock_guard lock(mutex_);
  const std::uint64_t ticket = next_++;
  jobs_.emplace_back(ticket, [this, pass, ticket] {
    kept_[ticket] = {};
    run(*pass);
    Kept& kept = kept_[ticket];
    for (const TokenScore& score : pass->drawn) kept.drawn.push_back(score.token);
    if (ticket > ticket_memory) kept_.erase(ticket - ticket_memory);
  });
  changed_.notify_all();
  return Ticket(ticket);
}

Token OwnBackend::token_of(DrawRef ref) const { return kept_.at(ref.ticket.value).drawn.at(ref.draw); }

std::vector<float> OwnBackend::row(const Pass& pass, std::size_t segment, std::size_t position) {
  std::vector<Cell> cells;
  for (std::size_t p = 0; p <= position; ++p) cells.push_back(cell(pass.segments[segment].pages, p));
  return logits_after(cells);
}

void OwnBackend::run(Pass& pass) {
  ++passes;
  int count = 0;
  std::set<std::uint32_t> slots_here;
  for (const Pass::Rows& s : pass.segments) {
    slot_clashes += slots_here.insert(s.segment.slot).second ? 0 : 1;
    highest_slot = std::max(highest_slot.load(), s.segment.slot);
    for (std::size_t i = 0; i < s.tokens.size(); ++i) {
      const bool drawn_before = !s.from.empty() && s.from[i].ticket != Ticket{};
      cell(s.pages, s.segment.start + i) = {drawn_before ? token_of(s.from[i]) : s.tokens[i], s.segment.adapter.value};
    }
    count += static_cast<int>(s.tokens.size());
  }
  rows += count;
  most_rows = std::max(most_rows.load(), count);
  std::size_t next = 0;
  for (std::size_t i = 0; i < pass.segments.size(); ++i) {
    const Pass::Rows& s = pass.segments[i];
    const std::size_t end = s.segment.start + s.tokens.size();
    for (std::size_t k = 0; k < s.draws.size(); ++k) {
      const Pass::Draw& d = s.draws[k];
      DrawSpec spec = d.spec;
      spec.sampling = &d.sampling, spec.prompt = d.prompt, spec.output = d.output, spec.mask = d.mask;
      spec.draft_distribution = d.q;
      if (spec.draft.ticket != Ticket{}) {
        spec.drafted = token_of(spec.draft);
        spec.draft_distribution = kept_.at(spec.draft.ticket.value).distributions.at(spec.draft.draw);
      }
      const std::vector<float> logits = row(pass, i, end - s.draws.size() + k);
      pass.drawn[next++] = draw(logits, spec);
      auto& distributions = kept_.rbegin()->second.distributions;
      distributions.push_back(spec.keep_distribution ? draw_distribution(logits, spec) : std::vector<float>());
    }
    const std::size_t wanted = s.segment.logits.size() / vocabulary;
    for (std::size_t j = 0; j < wanted; ++j) {
      const std::vector<float> logits = row(pass, i, end - wanted + j);
      std::copy(logits.begin(), logits.end(), s.segment.logits.begin() + static_cast<std::ptrdiff_t>(j * vocabulary));
    }
    const std::size_t states = s.segment.hidden.size() / width;  // token + layer in every place; normed: 1
    for (std::size_t j = 0; j < states; ++j) {
      const auto token = static_cast<float>(cell(s.pages, end - states + j).token);
      const float state = s.segment.hidden_normed ? 1.0F : token + static_cast<float>(s.segment.hidden_layer);
      std::fill_n(s.segment.hidden.begin() + static_cast<std::ptrdiff_t>(j * width), width, state);
    }
  }
}

}  // namespace stranger
