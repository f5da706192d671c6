// GuardedSink: between an endpoint and a caller's sink. Whatever the caller's sink throws stays here; on_finish reaches
// it once, and nothing after it.
#pragma once

#include <frugal/core/clock.hpp>
#include <frugal/endpoint/endpoint.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "core/caught.hpp"

namespace frugal {

class GuardedSink final : public Sink {
 public:
  /// The log may be null; else it is lent for as long as calls come.
  explicit GuardedSink(std::shared_ptr<Sink> out, const LogSink* log = nullptr, RequestId id = {})
      : out_(std::move(out)), log_(log), id_(id) {}

  /// Throws what the sink threw, so that the endpoint gives the request up.
  void on_prompt(std::span<const Token> prompt) override {
    if (ended_) return;
    try {
      out_->on_prompt(prompt);
    } catch (const Error&) {
      throw;
    } catch (...) {
      note("on_prompt");
      throw;
    }
  }
  /// The same, from the first throw on.
  void on_delta(Delta delta) override {
    if (ended_) return;
    try {
      out_->on_delta(std::move(delta));
    } catch (...) {
      note("on_delta");
      throw;
    }
  }
  void on_finish(Finish finish) noexcept override {
    if (std::exchange(ended_, true)) return;
    if (!thrown_.empty() && finish.detail.empty()) finish.detail.swap(thrown_);
    try {
      out_->on_finish(std::move(finish));
    } catch (...) {
      note("on_finish");
    }
  }
  bool full() const override {
    try {
      return out_->full();
    } catch (...) {
      return false;
    }
  }

 private:
  void note(const char* where) noexcept {
    try {
      thrown_ = std::string("the caller's ") + where + " threw: " + caught_text();
      if (log_ != nullptr && *log_) (*log_)(LogLevel::warning, id_.value, thrown_);
    } catch (...) {  // no memory for the words
    }
  }

  std::shared_ptr<Sink> out_;
  const LogSink* log_;
  RequestId id_;
  std::string thrown_;
  bool ended_ = false;
};

/// The Finish of a request that could not be begun because even a proper refusal had no memory. Needs none itself. Call
/// only inside a catch block, while nothing else can give the sink its Finish.
inline void refuse_without_memory(std::shared_ptr<Sink> sink, RequestId id) noexcept {
  Finish end;
  end.reason = FinishReason::refused;
  end.error = caught_error(Errc::internal, "start");
  end.request = id;
  GuardedSink(std::move(sink), nullptr, id).on_finish(std::move(end));
}

}  // namespace frugal
