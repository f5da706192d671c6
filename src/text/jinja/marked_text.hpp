// MarkedText: text in which the caller's bytes ("content") are told from the template's own. Only the template's own text
// may become control tokens; so everything that makes text of text keeps the marks.
#pragma once

#include <frugal/text/tokenizer.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frugal::jinja {

class MarkedText {
 public:
  MarkedText() = default;
  explicit MarkedText(std::string bytes, bool content = false) : bytes_(std::move(bytes)) {
    if (content) mark_all();
  }

  const std::string& bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return bytes_.size(); }
  /// The caller's bytes: ascending, not empty, with a gap between any two.
  const std::vector<TextRange>& content() const noexcept { return content_; }
  bool has_content() const noexcept { return !content_.empty(); }

  /// What `safe` makes of a text: jinja2's Markup, to which other text is added only escaped for HTML.
  bool markup = false;

  /// Adds text of the template's own.
  void append(std::string_view piece) { bytes_ += piece; }
  /// Adds bytes [at, at + n) of a text with their marks.
  void append(const MarkedText& from, std::size_t at = 0, std::size_t n = std::string::npos) {
    const std::size_t end = std::min(from.size(), n == std::string::npos ? n : at + n), base = bytes_.size();
    bytes_.append(from.bytes_, at, end - at);
    auto range = std::partition_point(from.content_.begin(), from.content_.end(),
                                      [&](const TextRange& r) { return r.end <= at; });
    for (; range != from.content_.end() && range->begin < end; ++range)
      mark(base + std::max(range->begin, at) - at, base + std::min(range->end, end) - at);
  }
  /// Bytes [at, at + n) with their marks.
  MarkedText part(std::size_t at, std::size_t n) const {
    MarkedText out;
    out.append(*this, at, n);
    out.markup = markup;
    return out;
  }
  /// The part that `view` shows, a view into bytes().
  MarkedText part(std::string_view view) const {
    return part(static_cast<std::size_t>(view.data() - bytes_.data()), view.size());
  }
  void mark_all() {
    content_.clear();
    mark(0, bytes_.size());
  }

 private:
  void mark(std::size_t begin, std::size_t end) {
    if (begin == end) return;
    if (!content_.empty() && content_.back().end == begin) {
      content_.back().end = end;
    } else {
      content_.push_back({begin, end});
    }
  }

  std::string bytes_;
  std::vector<TextRange> content_;
};

}  // namespace frugal::jinja
