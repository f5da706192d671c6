// A backend of a stranger's: asynchronous, with adapters, hidden states, page traffic and a device that can break. Its
// next token is a fixed function of all tokens before it and of the adapters under which they were computed, so any wrong
// page, position, prefix or adapter changes the answer.
#pragma once

#if __has_include("engine/scheduler.hpp") || __has_include("backend/contract.hpp")
#error "the contracts are tested against the public headers only"
#endif

#include <frugal/backend/backend.hpp>
#include <frugal/engine/engine.hpp>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace stranger {

using namespace frugal;

/// What is kept of one token in the pages.
struct Cell {
  Token token = -1;
  std::uint32_t adapter = 0;
};

/// A model of one layer with a byte tokenizer: id b is byte b, 256 and 257 end an answer and are never likely.
std::shared_ptr<const Model> own_model();

std::vector<float> logits_after(const std::vector<Cell>& cells);
/// The greedy answer, without an engine.
std::vector<Token> answer_to(const std::vector<Token>& prompt, std::size_t tokens, std::uint32_t adapter = 0);
std::vector<Token> prompt_of(std::size_t tokens, std::uint32_t seed = 0);
Request request_of(std::vector<Token> prompt, std::uint32_t max_tokens);

class OwnBackend final : public Backend {
 public:
  explicit OwnBackend(std::uint32_t max_rows = 64);
  ~OwnBackend() override;

  std::string_view name() const override { return "own"; }
  BackendTraits traits() const override;
  ModelId add_model(std::shared_ptr<const Model> model) override;
  std::size_t kv_bytes_per_token(ModelId) const override { return sizeof(Cell); }
  void bind_arena(const ArenaLayout& layout) override;
  void copy_pages(std::span<const PageCopy> copies) override;
  void forward(const Batch& batch) override { wait(submit(batch)); }
  Ticket submit(const Batch& batch) override;
  PassReport wait(Ticket ticket) override;
  Ticket read_pages(std::span<const PageRead> pages) override;
  Ticket write_pages(std::span<const PageWrite> pages) override;
  std::uint64_t layout_fingerprint(ModelId) const override { return 0x0BACE0 + page_tokens_; }
  std::optional<AdapterId> find_adapter(ModelId, std::string_view name) const override;
  bool healthy() const noexcept override { return !broken_; }

  void break_for_good() { broken_ = true; }
  /// The worker waits before its next job until release().
  void hold();
  void release();

  std::atomic<int> traits_asked{0}, passes{0}, rows{0}, most_rows{0}, slot_clashes{0};
  std::atomic<std::uint32_t> highest_slot{0};

 private:
  struct Pass;
  Ticket queue(std::function<void()> job);
  void work();
  void run(Pass& pass);
  std::vector<float> row(const Pass& pass, std::size_t segment, std::size_t position);
  Cell& cell(std::span<const Granule> pages, std::size_t position);
  Token token_of(DrawRef ref) const;

  struct Kept {
    std::vector<Token> drawn{};
    std::vector<std::vector<float>> distributions{};
  };
  const std::uint32_t max_rows_;
  std::uint32_t page_tokens_ = 0;
  std::size_t page_bytes_ = 0;
  std::vector<std::byte> arena_{};
  std::atomic<bool> broken_{false};
  std::map<std::uint64_t, Kept> kept_{};  // of the worker

  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::uint64_t next_ = 1;
  std::deque<std::pair<std::uint64_t, std::function<void()>>> jobs_{};
  std::map<std::uint64_t, std::exception_ptr> done_{};
  bool stop_ = false, held_ = false;
  std::thread worker_{};
};

EngineOptions options_with(std::shared_ptr<Backend> backend);

}  // namespace stranger
