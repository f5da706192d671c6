// The numbers that name things. Strong where mixing two kinds would compile and be wrong.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace frugal {

/// A vocabulary entry. A plain integer, because token arrays are passed to files, kernels and JSON as such.
using Token = std::int32_t;

/// The number of a 4 KiB granule in the KV arena; a page is named by its first granule. Kernels read these as
/// int32 block-table entries, so 2^31 granules reach 8 TiB.
using Granule = std::int32_t;

namespace detail {
template <class Tag, class Number>
struct StrongId {
  Number value{};
  constexpr StrongId() = default;
  constexpr explicit StrongId(Number n) : value(n) {}
  friend constexpr auto operator<=>(const StrongId&, const StrongId&) = default;
};
}  // namespace detail

/// A model registered with a backend: dense from 0 in the order of registration, so it indexes arrays.
struct ModelId : detail::StrongId<ModelId, std::uint32_t> {
  using StrongId::StrongId;
  constexpr std::size_t index() const { return value; }
};

/// A pass that was handed to a backend; from 1, in order of submission. 0 = none.
struct Ticket : detail::StrongId<Ticket, std::uint64_t> {
  using StrongId::StrongId;
};

/// A low-rank adapter of one model, as its backend numbers them from 1. 0 = the model alone.
struct AdapterId : detail::StrongId<AdapterId, std::uint32_t> {
  using StrongId::StrongId;
};

/// A request inside one endpoint; unique for the endpoint's lifetime, in order of submission.
struct RequestId : detail::StrongId<RequestId, std::uint64_t> {
  using StrongId::StrongId;
};

}  // namespace frugal

template <>
struct std::hash<frugal::ModelId> {
  std::size_t operator()(frugal::ModelId id) const noexcept { return id.value; }
};
template <>
struct std::hash<frugal::RequestId> {
  std::size_t operator()(frugal::RequestId id) const noexcept { return static_cast<std::size_t>(id.value); }
};
