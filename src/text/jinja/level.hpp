// Run::Level: one level of evaluation, counted for as long as it lives, so that recursion ends before the stack does.
#pragma once

#include "text/jinja/run.hpp"

namespace frugal::jinja {

class Run::Level {
 public:
  explicit Level(Run& run) : run_(run) {
    if (++run_.nesting_ > run_.limits_.nesting) {
      --run_.nesting_;
      fail_limit("macros or expressions nested deeper than " + std::to_string(run_.limits_.nesting));
    }
    run_.charge(1);
  }
  ~Level() { --run_.nesting_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  Run& run_;
};

}  // namespace frugal::jinja
