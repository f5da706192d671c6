// Reading an answer: pop what is there, else lend the thread to the endpoint until something is.
#include <frugal/endpoint/stream.hpp>

#include "endpoint/channel.hpp"

#include <chrono>
#include <thread>
#include <utility>

namespace frugal {

struct Stream::State {
  Endpoint* endpoint;
  std::shared_ptr<Channel> channel;
  Call call;
};

Stream::Stream(Endpoint& endpoint, std::shared_ptr<Channel> channel, Call call)
    : state_(std::make_unique<State>(State{&endpoint, std::move(channel), std::move(call)})) {}

Stream::Stream(Stream&&) noexcept = default;

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    cancel();
    state_ = std::move(other.state_);
  }
  return *this;
}

Stream::~Stream() { cancel(); }

void Stream::cancel() {
  if (state_ && !state_->channel->ended()) state_->call.cancel();
}

std::optional<Delta> Stream::next() {
  Channel& channel = *state_->channel;
  while (!channel.ready()) {
    state_->endpoint->drive([&channel] { return channel.ready(); });
    // An endpoint with nothing left to do returns at once while another thread is about to deliver our piece.
    if (!channel.ready()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return channel.pop();
}

std::optional<Delta> Stream::try_next() { return state_->channel->pop(); }

bool Stream::done() const { return state_->channel->ended() && !state_->channel->ready_delta(); }

std::optional<Finish> Stream::finish() const { return state_->channel->finish(); }

Answer Stream::wait() {
  Answer answer;
  while (std::optional<Delta> delta = next()) {
    answer.text += delta->text;
    answer.tokens.insert(answer.tokens.end(), delta->tokens.begin(), delta->tokens.end());
    for (TokenScore& score : delta->scores) answer.scores.push_back(std::move(score));
  }
  answer.finish = *state_->channel->finish();
  return answer;
}

}  // namespace frugal
