// Endpoints of a stranger's: a leaf whose answers come from another thread, as a remote service's do; a composite that
// chooses by load and goes on elsewhere where one refuses; a wrapper that adds a label.
#pragma once

#include "own_backend.hpp"

#include <frugal/endpoint/endpoint.hpp>
#include <frugal/endpoint/wrapper.hpp>

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace stranger {

/// Answers when the post comes: deliver() may be called by any thread. Says the prompt back, a piece a word.
class Post final : public Endpoint {
 public:
  explicit Post(std::string name, std::size_t room = 100) : name_(std::move(name)), room_(room) {}
  ~Post() override { retire(); }
  std::string_view name() const override { return name_; }
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  std::optional<TimePoint> next_deadline() const override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

  /// The answers of the `n` oldest requests that have none have come.
  void deliver(std::size_t n);
  std::vector<Request> seen() const;
  std::atomic<int> steps{0};

 private:
  struct Letter {
    Request request;
    std::shared_ptr<Sink> sink;
    std::uint64_t number = 0;
    std::string left{};  // of the answer
    bool arrived = false, cancelled = false;
    Usage usage{};
  };
  bool is_due(const Letter& letter) const;
  Progress turn();
  std::shared_ptr<Letter> first_due() const;
  std::optional<FinishReason> hand_over(Letter& letter);

  const std::string name_;
  const std::size_t room_;
  std::mutex wheel_{};
  mutable std::mutex mutex_{};
  std::list<std::shared_ptr<Letter>> letters_{};
  std::vector<Request> seen_{};
  std::uint64_t next_ = 1;
};

/// The member with the least load answers; where it refuses as busy or is gone, the next one.
class Fleet final : public Endpoint {
 public:
  explicit Fleet(const std::vector<Endpoint*>& members);
  ~Fleet() override { retire(); }
  std::string_view name() const override { return "fleet"; }
  Call start(Request request, std::shared_ptr<Sink> sink) override;
  Progress step() override;
  void watch(Waker& waker, bool every_step) override;
  void unwatch(Waker& waker) override;
  void wake() override;
  std::optional<TimePoint> next_deadline() const override;
  Load load() const override;
  std::vector<std::string> may_answer(std::string_view model) const override;

 private:
  class Retrying;
  std::vector<EndpointRef> by_load() const;
  std::vector<EndpointRef> members_;
};

/// Adds a label to every request, and a mark to every answer's detail.
class Labelled final : public EndpointWrapper {
 public:
  Labelled(Endpoint& inner, std::string label) : EndpointWrapper(inner, "labelled"), label_(std::move(label)) {}
  ~Labelled() override { leave(); }
  Call start(Request request, std::shared_ptr<Sink> sink) override;

 private:
  std::string label_;
};

}  // namespace stranger
