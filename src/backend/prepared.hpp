// Prepared: what backends make of a model's weights, shared by all of a process that make the same of the same Model
// object. Holds nothing alive itself. A value must keep its Model alive, so that the key cannot come to mean another one.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace frugal {
class Model;
}

namespace frugal::backend {

template <class T>
class Prepared {
 public:
  /// `form` names what was made of the model, e.g. device and element type. Others wait while `make` runs, so that two
  /// engines set up at once do not prepare the same weights twice. Thread-safe.
  template <class Make>
  std::shared_ptr<const T> get(const Model* model, const std::string& form, Make make) {
    const std::lock_guard lock(mutex_);
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<const T>& known = known_[{model, form}];
    if (std::shared_ptr<const T> there = known.lock()) return there;
    const auto made = std::make_shared<const T>(make());
    known = made;
    return made;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<const Model*, std::string>, std::weak_ptr<const T>> known_;
};

}  // namespace frugal::backend
