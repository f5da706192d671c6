#include "cuda/kernels.hpp"

#include <memory>

#include "cuda/dispatch.hpp"
#include "cuda/graphs.hpp"
#include "cuda/host_paged.hpp"

namespace frugal::cuda {
namespace {

int draw(const DrawRow* rows, std::uint32_t count, Drawn* out, void*) noexcept {
  const auto shared = std::make_unique<DrawShared>();
  for (std::uint32_t i = 0; i < count; ++i) out[i] = drawn_from(Block{draw_threads}, rows[i], *shared);
  return 0;
}

int add_norm(const AddNorm& a, Element type, void*) noexcept {
  return with_element(type, [&]<class T>(Type<T>) {
    NormShared shared;
    for (std::uint32_t row = 0; row < a.rows; ++row) add_norm_row<T>(Block{norm_threads}, a, row, shared);
    return 0;
  });
}

int rope_append(const RopeAppend& a, Element type, void*) noexcept {
  return with_element(type, [&]<class T>(Type<T>) {
    RopeShared shared;
    for (std::uint32_t row = 0; row < a.rows; ++row) rope_append_row<T>(Block{rope_threads}, a, row, shared);
    return 0;
  });
}

int unpack(const Unpack& u, Element type, void*) noexcept {
  return with_element(type, [&]<class T>(Type<T>) {
    return with_packing(u.matrix.packing, [&](auto packing) {
      for (std::uint64_t n = 0; n < unpack_grid(u); ++n) unpack_blocks<T, packing()>(Block{unpack_threads}, u, n);
      return 0;
    });
  });
}

int product(const PackedProduct& a, Element type, void*) noexcept {
  return with_element(type, [&]<class T>(Type<T>) {
    return with_packing(a.matrix.packing, [&](auto packing) {
      return with_rows(a.rows, [&](auto rows) {
        ProductShared shared;
        for (std::uint64_t n = 0; n < product_grid(a); ++n)
          packed_product<T, packing(), rows()>(Block{product_threads}, a, n, shared);
        return 0;
      });
    });
  });
}

int route(const Route& r, void*) noexcept {
  ChooseShared shared;
  for (std::uint32_t row = 0; row < r.rows; ++row) choose_experts_row(Block{choose_threads}, r, row, shared);
  const auto group = std::make_unique<GroupShared>();
  group_choices(Block{group_threads}, r, *group);
  return 0;
}

int expert_product(const ExpertProduct& a, Element type, void*) noexcept {
  return with_element(type, [&]<class T>(Type<T>) {
    return with_weights<T>(a.matrix.packing, [&]<class Weights>(Type<Weights>) {
      return with_rows(a.most_rows, [&](auto rows) {
        ExpertShared shared;
        for (std::uint32_t tile = 0; tile < a.tile_count; ++tile)
          for (std::uint64_t n = 0; n < product_grid(a); ++n)
            cuda::expert_product<T, Weights, rows()>(Block{product_threads}, a, n, tile, shared);
        return 0;
      });
    });
  });
}

bool serves_paged(const PagedHeads& heads, Element) noexcept { return heads.heads % heads.kv_heads == 0; }
/// Few, so that plans of small tests split and do not split.
std::uint32_t multiprocessors(int) noexcept { return 8; }

constexpr Kernels table{draw,  add_norm,       rope_append,          unpack,       product,
                        route, expert_product, host_paged_attention, serves_paged, multiprocessors};

}  // namespace

const Kernels& host_kernels() noexcept { return table; }

#if !defined(FRUGAL_HAS_DEVICE_KERNELS)
const Kernels* device_kernels() noexcept { return nullptr; }
const GraphCalls* device_graphs() noexcept { return nullptr; }
#endif

}  // namespace frugal::cuda
