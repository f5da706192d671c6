#include "head/states.hpp"

#include <frugal/core/error.hpp>

#include <algorithm>
#include <utility>

#include "head/words.hpp"

namespace frugal::head {

namespace {

Error wrong(const std::string& what) { return Error(Errc::invalid_argument, "head: " + what); }

}  // namespace

States::States(std::shared_ptr<const Model> model, std::shared_ptr<Backend> backend, Frame frame,
               std::uint32_t batch_tokens)
    : model_(std::move(model)), backend_(std::move(backend)), frame_(std::move(frame)), batch_tokens_(batch_tokens) {
  if (!model_ || !backend_) throw wrong("there is no model or no backend");
  std::sort(frame_.stop_words.begin(), frame_.stop_words.end());
  const Tokenizer* tokenizer = model_->tokenizer();
  if (tokenizer == nullptr) throw wrong("model " + model_->name() + " has no tokenizer, so it reads no text");
  shared_ = tokenizer->encode(frame_.before);
  after_ = tokenizer->encode(frame_.after, {.add_bos = false, .continues = true});
  const std::size_t longest = shared_.size() + frame_.most_tokens + after_.size();
  if (frame_.most_tokens == 0 || longest > model_->spec().context)
    throw wrong("a text of " + std::to_string(frame_.most_tokens) + " tokens with its frame does not fit " +
                model_->name() + "'s context of " + std::to_string(model_->spec().context));
  id_ = backend_->add_model(model_);
  const BackendTraits traits = backend_->traits();
  if (!traits.hidden_states)
    throw Error(Errc::unsupported, "head: backend " + std::string(backend_->name()) + " gives no hidden states");
  batch_tokens_ = std::min(batch_tokens_, traits.max_rows);
  if (longest > traits.max_rows) throw wrong("a text with its frame has more rows than a pass may have");
  const std::size_t bytes = page_tokens_ * backend_->kv_bytes_per_token(id_);
  granules_a_page_ = static_cast<std::uint32_t>((bytes + granule_bytes - 1) / granule_bytes);
  // Every text wastes less than a page.
  const std::size_t most = std::max<std::size_t>(batch_tokens_, longest);
  const std::size_t pages = (shared_.size() + most) / page_tokens_ + most_texts + 2;
  const PageGeometry geometry{page_tokens_, std::size_t{granules_a_page_} * granule_bytes};
  backend_->bind_arena({.bytes = pages * geometry.page_bytes, .models = {&geometry, 1}});
  shared_pages_ = pages_for(shared_.size() / page_tokens_ * page_tokens_);
}

std::vector<Granule> States::pages_for(std::size_t tokens) {
  std::vector<Granule> out;
  for (std::size_t t = 0; t < tokens; t += page_tokens_) {
    out.push_back(next_);
    next_ += static_cast<Granule>(granules_a_page_);
  }
  return out;
}

expected<std::vector<Token>> States::tokens(std::string_view text) const {
  EncodeOptions options{.parse_special = false};
  if (!shared_.empty()) options = {.parse_special = false, .add_bos = false, .continues = true};
  if (frame_.stop_words.empty()) return framed(model_->tokenizer()->encode(text, options));
  return framed(model_->tokenizer()->encode(without_stop_words(text, frame_.stop_words), options));
}

expected<std::vector<Token>> States::framed(std::vector<Token> out) const {
  const auto vocabulary = static_cast<Token>(model_->spec().vocab);
  for (const Token t : out)
    if (t < 0 || t >= vocabulary)
      return unexpected(Errc::invalid_argument, std::to_string(t) + " is no token of the model");
  if (out.size() > frame_.most_tokens && !frame_.cut)
    return unexpected(Errc::too_large, "the text has " + std::to_string(out.size()) + " tokens, and " +
                                           std::to_string(frame_.most_tokens) + " are the most");
  if (out.size() > frame_.most_tokens) out.resize(frame_.most_tokens);
  out.insert(out.end(), after_.begin(), after_.end());
  if (out.empty()) return unexpected(Errc::invalid_argument, "the text is empty");
  return out;
}

std::size_t States::fitting(std::span<const std::vector<Token>* const> texts) const {
  const std::size_t again = shared_.size() - cached();  // of the frame's beginning, with each text
  std::size_t rows = 0, n = 0;
  for (const std::vector<Token>* text : texts) {
    rows += again + text->size();
    if (n > 0 && (rows > batch_tokens_ || n >= most_texts)) break;
    ++n;
  }
  return n;
}

void States::read_shared(std::uint32_t layers) {
  if (shared_layers_ == layers) return;
  shared_layers_ = 0;
  const std::size_t whole = cached();
  std::vector<float> state(model_->spec().d_model);
  for (std::size_t at = 0; at < whole; at += batch_tokens_) {
    const std::size_t n = std::min<std::size_t>(batch_tokens_, whole - at);
    const Segment s{.tokens = std::span(shared_).subspan(at, n),
                    .start = static_cast<std::uint32_t>(at),
                    .pages = shared_pages_,
                    .prompt = static_cast<std::uint32_t>(n),
                    .hidden = state,
                    .hidden_layer = layers};
    backend_->forward({.model = id_, .segments = {&s, 1}, .drawn = {}, .layers = layers});
  }
  shared_layers_ = layers;
}

std::vector<Pooled> States::pass(std::span<const std::vector<Token>* const> texts, std::uint32_t layers, Pool pool) {
  read_shared(layers);
  const std::size_t width = model_->spec().d_model, whole = cached();
  struct Row {
    std::vector<Token> tokens;
    std::vector<Granule> pages;
    std::vector<float> hidden;
  };
  std::vector<Row> rows;
  next_ = static_cast<Granule>(shared_pages_.size() * granules_a_page_);
  for (const std::vector<Token>* text : texts) {
    Row& row = rows.emplace_back();
    row.tokens.assign(shared_.begin() + static_cast<std::ptrdiff_t>(whole), shared_.end());
    row.tokens.insert(row.tokens.end(), text->begin(), text->end());
    row.pages = shared_pages_;
    const std::vector<Granule> own = pages_for(row.tokens.size());
    row.pages.insert(row.pages.end(), own.begin(), own.end());
    row.hidden.resize((pool == Pool::last ? 1 : text->size()) * width);
  }
  std::vector<Segment> segments;
  for (Row& row : rows)
    segments.push_back({.tokens = row.tokens,
                        .start = static_cast<std::uint32_t>(whole),
                        .pages = row.pages,
                        .slot = static_cast<std::uint32_t>(segments.size()),
                        .prompt = static_cast<std::uint32_t>(row.tokens.size()),
                        .hidden = row.hidden,
                        .hidden_layer = layers,
                        .hidden_normed = frame_.normed});
  backend_->forward({.model = id_, .segments = segments, .drawn = {}, .layers = layers});
  std::vector<Pooled> out;
  for (const Row& row : rows) {
    Pooled p;
    p.last.assign(row.hidden.end() - static_cast<std::ptrdiff_t>(width), row.hidden.end());
    if (pool != Pool::last) {
      p.mean.assign(width, 0);
      for (std::size_t i = 0; i < row.hidden.size(); ++i) p.mean[i % width] += row.hidden[i];
      for (float& x : p.mean) x *= static_cast<float>(width) / static_cast<float>(row.hidden.size());
    }
    out.push_back(std::move(p));
  }
  return out;
}

}  // namespace frugal::head
