// From the values that name a kernel at run time to its template's arguments.
#pragma once

#include "cuda/experts.hpp"

#include <type_traits>

namespace frugal::cuda {

template <class T>
struct Type {
  using type = T;
};

/// f(Type<T>) for the element type.
template <class F>
int with_element(Element type, F f) {
  switch (type) {
    case Element::bf16:
      return f(Type<Bf16>{});
    case Element::f16:
      return f(Type<Half>{});
    default:
      return f(Type<float>{});
  }
}

/// f(integral_constant<Packing>) for the packing.
template <class F>
int with_packing(Packing packing, F f) {
  switch (packing) {
    case Packing::q4_0:
      return f(std::integral_constant<Packing, Packing::q4_0>{});
    case Packing::q4_1:
      return f(std::integral_constant<Packing, Packing::q4_1>{});
    default:
      return f(std::integral_constant<Packing, Packing::q8_0>{});
  }
}

/// f(Type<Weights>) for how a product reads the experts' matrix.
template <class T, class F>
int with_weights(Packing packing, F f) {
  if (packing == Packing::plain) return f(Type<packed::Plain<T>>{});
  return with_packing(packing, [&](auto p) { return f(Type<packed::Quantised<decltype(p)::value>>{}); });
}

/// f(integral_constant<n>) for the smallest kernel that takes so many rows.
template <class F>
int with_rows(std::uint32_t rows, F f) {
  if (rows <= 1) return f(std::integral_constant<std::uint32_t, 1>{});
  if (rows <= 2) return f(std::integral_constant<std::uint32_t, 2>{});
  if (rows <= 4) return f(std::integral_constant<std::uint32_t, 4>{});
  return f(std::integral_constant<std::uint32_t, product_rows>{});
}

inline std::uint64_t unpack_grid(const Unpack& u) {
  return (u.matrix.cols / packed_values * u.rows + unpack_threads - 1) / unpack_threads;
}
inline std::uint64_t product_grid(const PackedProduct& a) {
  return (a.matrix.rows + product_features - 1) / product_features;
}
inline std::uint64_t product_grid(const ExpertProduct& a) {
  return (a.features + product_features - 1) / product_features;
}

}  // namespace frugal::cuda
