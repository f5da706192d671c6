// The defaults of a synchronous backend. Also anchors the vtable and type_info of Backend, so that they are one across
// shared libraries.
#include <frugal/backend/backend.hpp>

#include <frugal/core/error.hpp>

#include "backend/tickets.hpp"

#include <string>

namespace frugal {

Backend::Backend() = default;
Backend::~Backend() = default;

Ticket Backend::submit(const Batch& batch) {
  if (tickets_ == nullptr) tickets_ = std::make_unique<backend::Tickets>();
  return tickets_->run(batch, [this](const Batch& whole) { forward(whole); });
}

PassReport Backend::wait(Ticket ticket) {
  if (tickets_ == nullptr) throw Error(Errc::invalid_argument, "backend: no ticket was given yet");
  tickets_->wait(ticket);
  return {};
}

Ticket Backend::run_keeping(const Batch& batch, const std::function<void(const Batch&, Ticket)>& pass) {
  if (tickets_ == nullptr) tickets_ = std::make_unique<backend::Tickets>();
  return tickets_->run_keeping(batch, pass);
}

Ticket Backend::run_now(const std::function<void()>& work) {
  if (tickets_ == nullptr) tickets_ = std::make_unique<backend::Tickets>();
  return tickets_->run(work);
}

Ticket Backend::draft(const DraftRound&) {
  return run_now([this] { throw Error(Errc::unsupported, std::string(name()) + ": takes no rounds of drafts"); });
}

Ticket Backend::read_pages(std::span<const PageRead>) {
  return run_now([this] { throw Error(Errc::unsupported, std::string(name()) + ": pages cannot be read"); });
}

Ticket Backend::write_pages(std::span<const PageWrite>) {
  return run_now([this] { throw Error(Errc::unsupported, std::string(name()) + ": pages cannot be written"); });
}

std::uint64_t Backend::layout_fingerprint(ModelId) const { return 0; }

std::optional<AdapterId> Backend::find_adapter(ModelId, std::string_view) const { return std::nullopt; }

bool Backend::healthy() const noexcept { return true; }

BackendTraits BackendWrapper::traits() const {
  BackendTraits traits = inner_->traits();
  traits.async = false, traits.draft_rounds = 0;
  return traits;
}

void BackendWrapper::forward(const Batch& batch) { inner_->forward(batch); }

Ticket BackendWrapper::read_pages(std::span<const PageRead> pages) {
  return run_now([&] { inner_->wait(inner_->read_pages(pages)); });
}

Ticket BackendWrapper::write_pages(std::span<const PageWrite> pages) {
  return run_now([&] { inner_->wait(inner_->write_pages(pages)); });
}

}  // namespace frugal
