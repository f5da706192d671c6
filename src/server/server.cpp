#include <frugal/server/server.hpp>

#include <utility>

#include "server/hub.hpp"

namespace frugal {

struct Server::Impl {
  explicit Impl(ServerOptions options) : hub(std::make_shared<server::Hub>(std::move(options))) { hub->begin(); }
  ~Impl() { hub->stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  std::shared_ptr<server::Hub> hub;
};

Server::Server(ServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Server::~Server() = default;
std::uint16_t Server::port() const noexcept { return impl_->hub->port(); }
void Server::drain() { impl_->hub->drain(impl_->hub->options().drain_time); }
void Server::wait() { impl_->hub->wait(); }
bool Server::wait_for(Duration most) { return impl_->hub->wait_for(most); }
void Server::cancel() { impl_->hub->drain(Duration::zero()); }
ServerStats Server::stats() const { return impl_->hub->stats(); }

}  // namespace frugal
