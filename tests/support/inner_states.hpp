// What every backend must keep of its hidden states and of the bytes of its pages, as functions over a Rig: called for
// the reference, the CPU backend and torch, each with its own tolerance (0 = bit for bit).
#pragma once

#include <frugal/core/error.hpp>

#include <cstddef>
#include <string>

#include "support/any_backend.hpp"
#include "support/switches.hpp"

namespace frugal::testing {

/// Which hidden states: after how many layers, normed or not, and how many layers the pass runs.
struct Tap {
  std::uint32_t layer = 0;
  bool normed = false;
  std::optional<std::uint32_t> layers{};
};

/// The hidden states of the last `rows` rows of `tokens` at `start`, [row][d_model].
inline Rows hidden_states(Rig& rig, std::span<const Token> tokens, std::uint32_t start, std::span<const Granule> table,
                          const Tap& tap, std::size_t rows) {
  const std::uint32_t width = rig.models[0]->spec().d_model;
  std::vector<float> states(rows * width, NAN);
  const Segment s{.tokens = tokens,
                  .start = start,
                  .pages = table,
                  .hidden = states,
                  .hidden_layer = tap.layer,
                  .hidden_normed = tap.normed};
  rig.backend->forward({.model = ModelId{0}, .segments = {&s, 1}, .drawn = {}, .layers = tap.layers});
  return Rig::split(states, width);
}

inline Rows hidden_states(Rig& rig, std::span<const Token> tokens, const Tap& tap) {
  return hidden_states(rig, tokens, 0, rig.pages(tokens.size()), tap, tokens.size());
}

/// `relative` to the largest state in absolute value. Every switch of the decoder's description, with layers of `type`.
inline void hidden_states_equal(const MakeBackend& make, const MakeBackend& oracle, float relative,
                                DType type = DType::f32) {
  for (auto [name, options] : switches()) {
    INFO(name);
    options.attention = options.feed_forward = type;
    if (options.spec)  // a row of an expert's weights is a whole number of blocks
      options.spec = [change = options.spec, block = block_shape(type).values](DecoderSpec& s) {
        change(s);
        s.experts.d_ff = static_cast<std::uint32_t>((s.experts.d_ff + block - 1) / block * block);
      };
    const auto model = tiny_model(options);
    const std::uint32_t last = model->spec().layers;
    const auto tokens = some_tokens(45);
    Rig rig(make(), {model}, 8), other(oracle(), {model}, 16);
    for (std::uint32_t layer = 0; layer <= last; ++layer) {
      for (const bool normed : {false, true}) {
        if (normed && layer != last) continue;
        INFO("layer " << layer << (normed ? ", normed" : ""));
        const Rows want = hidden_states(other, tokens, {layer, normed});
        CHECK(distance(hidden_states(rig, tokens, {layer, normed}), want) <= relative * std::max(1.0F, largest(want)));
      }
    }
  }
}

/// Layer 0 is the embedding as the file has it; the last one, normed, times the head gives the logits.
inline void hidden_states_begin_and_end_where_they_should(const MakeBackend& make, float tolerance,
                                                          const TinyModelOptions& options = {}) {
  const auto model = tiny_model(options);
  const DecoderSpec& spec = model->spec();
  const auto tokens = some_tokens(9);
  Rig rig(make(), {model});
  const Rows first = hidden_states(rig, tokens, {0});
  std::vector<float> row(spec.d_model);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    dequantize_rows(model->embedding(), static_cast<std::uint64_t>(tokens[i]), 1, row);
    CHECK(distance({first[i]}, {row}) <= tolerance);
  }
  const Rows last = hidden_states(rig, tokens, {spec.layers, true}), logits = rig.run(tokens);
  Rows products(tokens.size(), std::vector<float>(spec.vocab));
  for (std::uint32_t t = 0; t < spec.vocab; ++t) {
    dequantize_rows(model->head(), t, 1, row);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      for (std::size_t d = 0; d < row.size(); ++d) products[i][t] += row[d] * last[i][d];
  }
  CHECK(distance(products, logits) <= tolerance * std::max(1.0F, largest(logits)));
}

/// Neither fewer layers, nor chunks, nor fewer rows asked for, nor draws beside them change a hidden state.
inline void hidden_states_do_not_depend_on_the_pass(const MakeBackend& make, float tolerance) {
  const auto model = tiny_model({.layers = 4});
  const DecoderSpec& spec = model->spec();
  const auto tokens = some_tokens(45);
  Rig rig(make(), {model});
  for (std::uint32_t layer = 0; layer <= spec.layers; ++layer) {
    INFO("layer " << layer);
    const Rows want = hidden_states(rig, tokens, {layer});
    CHECK(distance(hidden_states(rig, tokens, {layer, false, layer}), want) <= tolerance);
    const auto pages = rig.pages(tokens.size());
    Rows chunks;
    for (std::size_t at = 0; at < tokens.size(); at += 7) {
      const auto part = std::span(tokens).subspan(at, std::min<std::size_t>(7, tokens.size() - at));
      for (auto& row :
           hidden_states(rig, part, static_cast<std::uint32_t>(at), pages, {layer, false, layer}, part.size()))
        chunks.push_back(std::move(row));
    }
    CHECK(distance(chunks, want) <= tolerance);
    CHECK(distance(hidden_states(rig, tokens, 0, rig.pages(45), {layer}, 3), tail(want, 3)) <= tolerance);
  }
}

/// Three segments ask for states of different layers, one of them for draws and logits as well.
inline void segments_ask_for_what_they_want(const MakeBackend& make, float tolerance) {
  const auto model = tiny_model({.layers = 3});
  const DecoderSpec& spec = model->spec();
  Rig rig(make(), {model});
  const auto a = some_tokens(20, 1), b = some_tokens(9, 2), c = some_tokens(33, 3), d = some_tokens(5, 4);
  const Rows hidden_a = tail(hidden_states(rig, a, {1}), 4), hidden_b = tail(hidden_states(rig, b, {3}), 2);
  const Rows hidden_c = hidden_states(rig, c, {3, true}), logits_b = rig.run(b), logits_d = rig.run(d);
  std::vector<float> of_a(4 * spec.d_model), of_b(2 * spec.d_model), of_c(33 * spec.d_model), row_b(spec.vocab);
  const Sampling greedy;
  const DrawSpec draw_b{.sampling = &greedy}, draw_d{.sampling = &greedy};
  const auto pages_a = rig.pages(20), pages_b = rig.pages(9), pages_c = rig.pages(33), pages_d = rig.pages(5);
  const std::vector<Segment> segments{
      {.tokens = a, .pages = pages_a, .hidden = of_a, .hidden_layer = 1},
      {.tokens = b, .pages = pages_b, .draws = {&draw_b, 1}, .logits = row_b, .hidden = of_b, .hidden_layer = 3},
      {.tokens = c, .pages = pages_c, .hidden = of_c, .hidden_layer = 3, .hidden_normed = true},
      {.tokens = d, .pages = pages_d, .draws = {&draw_d, 1}}};
  std::vector<TokenScore> drawn(2);
  rig.backend->forward({.model = ModelId{0}, .segments = segments, .drawn = drawn});
  CHECK(distance(Rig::split(of_a, spec.d_model), hidden_a) <= tolerance);
  CHECK(distance(Rig::split(of_b, spec.d_model), hidden_b) <= tolerance);
  CHECK(distance(Rig::split(of_c, spec.d_model), hidden_c) <= tolerance);
  CHECK(distance({row_b}, tail(logits_b, 1)) <= tolerance);
  const auto best = [](const std::vector<float>& row) {
    return std::max_element(row.begin(), row.end()) - row.begin();
  };
  CHECK(drawn[0].token == best(logits_b.back()));
  CHECK(drawn[1].token == best(logits_d.back()));
}

inline void impossible_hidden_states_are_refused(const MakeBackend& make) {
  const auto model = tiny_model();
  Rig rig(make(), {model});
  const auto tokens = some_tokens(4);
  const auto pages = rig.pages(4);
  std::vector<float> states(2 * model->spec().d_model), odd(5), logits(model->spec().vocab);
  const Sampling greedy;
  const DrawSpec draw{.sampling = &greedy};
  std::vector<TokenScore> drawn(1);
  const auto refused = [&](const Segment& s, std::optional<std::uint32_t> layers) {
    try {
      rig.backend->forward({ModelId{0}, {&s, 1}, std::span(drawn).first(s.draws.size()), layers});
    } catch (const Error& e) {
      return e.code() == Errc::invalid_argument;
    }
    return false;
  };
  const std::uint32_t last = model->spec().layers;
  CHECK(refused({.tokens = tokens, .pages = pages, .hidden = states, .hidden_layer = last + 1}, {}));
  CHECK(refused({.tokens = tokens, .pages = pages, .hidden = states, .hidden_layer = 1, .hidden_normed = true}, {}));
  CHECK(refused({.tokens = tokens, .pages = pages, .hidden = odd, .hidden_layer = 1}, {}));
  CHECK(refused({.tokens = tokens, .pages = pages, .hidden = states, .hidden_layer = 2}, 1));
  CHECK(refused({.tokens = tokens, .pages = pages, .draws = {&draw, 1}}, 1));
  CHECK(refused({.tokens = tokens, .pages = pages, .logits = logits}, 1));
  CHECK(refused({.tokens = tokens, .pages = pages, .hidden = states}, last + 1));
  CHECK_FALSE(
      refused({.tokens = tokens, .pages = pages, .draws = {&draw, 1}, .hidden = states, .hidden_layer = 1}, last));
}

/// Reads whole pages of model 0.
inline std::vector<std::vector<std::byte>> read_pages(Rig& rig, std::span<const Granule> table) {
  const std::size_t bytes = rig.geometry[0].page_tokens * rig.backend->kv_bytes_per_token(ModelId{0});
  std::vector<std::vector<std::byte>> out(table.size(), std::vector<std::byte>(bytes));
  std::vector<PageRead> reads;
  for (std::size_t i = 0; i < table.size(); ++i) reads.push_back({ModelId{0}, table[i], out[i]});
  rig.backend->wait(rig.backend->read_pages(reads));
  return out;
}

inline void write_pages(Rig& rig, std::span<const Granule> table, const std::vector<std::vector<std::byte>>& bytes) {
  std::vector<PageWrite> writes;
  for (std::size_t i = 0; i < table.size(); ++i) writes.push_back({ModelId{0}, table[i], bytes[i]});
  rig.backend->wait(rig.backend->write_pages(writes));
}

/// Bytes that leave the arena and come back elsewhere, in this backend or in another one, continue as if they had
/// stayed.
inline void pages_may_leave_and_come_back(const MakeBackend& make, const Models& models) {
  const auto tokens = some_tokens(40);
  Rig rig(make(), models, 16), other(make(), models, 16);
  const auto pages = rig.pages(40);
  rig.run(std::span(tokens).first(36), 0, pages);
  const auto bytes = read_pages(rig, pages);
  const auto rest = std::span(tokens).subspan(36);
  const Rows want = rig.run(rest, 36, pages);

  rig.run(some_tokens(40, 9), 0, pages);  // somebody else's now
  other.pages(16);
  for (Rig* r : {&rig, &other}) {
    const auto elsewhere = r->pages(40);
    write_pages(*r, elsewhere, bytes);
    CHECK(distance(r->run(rest, 36, elsewhere), want) == 0.0F);
    CHECK(read_pages(*r, std::span(elsewhere).first(2)) == std::vector(bytes.begin(), bytes.begin() + 2));
  }
}

inline void layouts_are_told_apart(const MakeBackend& make, const MakeBackend& otherwise) {
  const auto number = [](const MakeBackend& m, const TinyModelOptions& options, std::uint32_t page_tokens) {
    return Rig(m(), {tiny_model(options)}, page_tokens).backend->layout_fingerprint(ModelId{0});
  };
  const std::uint64_t own = number(make, {}, 16);
  CHECK(own != 0);
  CHECK(number(make, {}, 16) == own);
  CHECK(number(make, {}, 8) != own);
  CHECK(number(make, {.seed = 2}, 16) != own);
  CHECK(number(make, {.layers = 3}, 16) != own);
  CHECK(number(otherwise, {}, 16) != own);
}

inline void wrong_page_traffic_is_refused(const MakeBackend& make) {
  Rig rig(make(), {tiny_model()}, 16);
  const std::size_t bytes = 16 * rig.backend->kv_bytes_per_token(ModelId{0});
  std::vector<std::byte> right(bytes), wrong(bytes - 1);
  const auto code = [&](Granule page, std::vector<std::byte>& to) {
    const PageRead read{ModelId{0}, page, to};
    const PageWrite write{ModelId{0}, page, to};
    std::vector<Errc> codes;
    for (const Ticket ticket : {rig.backend->read_pages({&read, 1}), rig.backend->write_pages({&write, 1})}) {
      try {
        rig.backend->wait(ticket);
      } catch (const Error& e) {
        codes.push_back(e.code());
      }
    }
    return codes;
  };
  CHECK(code(0, right).empty());
  const std::vector<Errc> both(2, Errc::invalid_argument);
  CHECK(code(0, wrong) == both);
  CHECK(code(-1, right) == both);
  CHECK(code(static_cast<Granule>(rig.granules), right) == both);
}

}  // namespace frugal::testing
