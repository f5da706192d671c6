// The kernel tables a test runs: those of this machine, and the others' own source over a software model of their
// instructions, so that every table is tested on every machine.
#pragma once

#include "cpu/kernels/kernels.hpp"

#include <vector>

namespace frugal::testing {

/// The portable kernels with the products of vnni.hpp and tiles.hpp over plain arrays: a second model, written apart.
const cpu::Kernels& modelled_kernels();
/// The sources of avx512.cpp, amx.cpp with amx_bf16.cpp, and avxvnni.cpp over the instructions of modelled/immintrin.h.
const cpu::Kernels& modelled_avx512();
const cpu::Kernels& modelled_amx();
const cpu::Kernels& modelled_avxvnni();

inline bool is_modelled(const cpu::Kernels& k) { return k.name.starts_with("modelled"); }

inline std::vector<const cpu::Kernels*> tables() {
  const auto native = cpu::available_kernels();
  std::vector<const cpu::Kernels*> all(native.begin(), native.end());
  for (const auto* k : {&modelled_kernels(), &modelled_avx512(), &modelled_amx(), &modelled_avxvnni()})
    all.push_back(k);
  return all;
}

}  // namespace frugal::testing
