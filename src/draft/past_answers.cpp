#include "draft/past_answers.hpp"

#include <initializer_list>
#include <string_view>
#include <utility>

namespace frugal::draft {

// Lengths first: no two triples of names make one key.
std::string PastAnswers::key_of(const RequestView& request) {
  std::string key;
  for (const std::string_view part : {request.model, request.tenant, request.type})
    key.append(std::to_string(part.size())).append(":").append(part);
  return key;
}

std::size_t PastAnswers::bytes() const noexcept {
  std::size_t sum = 0;
  for (const auto& [key, group] : groups_)
    sum += bytes_of(group.young) + bytes_of(group.old) + key.capacity() + sizeof(Group);
  return sum;
}

void PastAnswers::add(const RequestView& request, std::span<const Token> answer) {
  if (most_bytes_ == 0 || answer.empty()) return;
  Group& group = groups_[key_of(request)];
  if (bytes_of(group.young) > most_bytes_ / 4) group.old = std::exchange(group.young, {});
  Generation& young = group.young;
  if (!young.automaton) young.automaton = std::make_shared<SuffixAutomaton>();
  for (const Token token : answer) young.automaton->push(token);
  young.automaton->push(kSeparator);
  young.used = ++added_;
  while (bytes() > most_bytes_) drop_oldest();
}

void PastAnswers::drop_oldest() {
  auto oldest = groups_.begin();
  const auto age = [](const Group& g) { return g.old.automaton ? g.old.used : g.young.used; };
  for (auto at = groups_.begin(); at != groups_.end(); ++at)
    if (age(at->second) < age(oldest->second)) oldest = at;
  if (oldest->second.old.automaton) {
    oldest->second.old = {};
  } else {
    groups_.erase(oldest);
  }
}

std::vector<std::weak_ptr<const SuffixAutomaton>> PastAnswers::of(const RequestView& request) const {
  std::vector<std::weak_ptr<const SuffixAutomaton>> out;
  if (groups_.empty()) return out;
  const auto found = groups_.find(key_of(request));
  if (found == groups_.end()) return out;
  for (const Generation* g : {&found->second.young, &found->second.old})
    if (g->automaton) out.emplace_back(g->automaton);
  return out;
}

}  // namespace frugal::draft
