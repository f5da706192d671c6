// The text format of OpenMetrics 1.0.
#include <frugal/meter/metrics.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <utility>

#include "meter/families.hpp"

namespace frugal {
namespace {

// Whole numbers, which most are, without an exponent.
std::string number(double value) {
  constexpr double exact = 1e15;
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::abs(value) < exact && value == std::trunc(value)) return std::to_string(static_cast<std::int64_t>(value));
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

// Edges have a canonical form with a point in it.
std::string edge(double value) {
  std::string text = number(value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string underscored(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c == '.') c = '_';
  return out;
}

std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

std::string_view suffix(std::string_view unit) {
  return unit == "s" ? "seconds" : unit == "{USD}" ? "dollars" : unit == "By" ? "bytes" : "";
}

// OpenMetrics wants a unit as the end of the name.
std::string family_name(const MetricName& m, bool otel) {
  if (!otel) return std::string(m.name);
  std::string name = underscored(m.otel);
  if (const std::string_view unit = suffix(m.unit); !unit.empty()) name += "_" + std::string(unit);
  return name;
}

class Writer {
 public:
  explicit Writer(bool otel) : otel_(otel) {}

  void add(const Family& f) {
    static constexpr std::array<std::string_view, 3> kinds{"counter", "gauge", "histogram"};
    name_ = family_name(*f.name, otel_);
    line("# TYPE " + name_ + " " + std::string(kinds[static_cast<std::size_t>(f.name->kind)]));
    if (const std::string_view unit = suffix(f.name->unit); !unit.empty())
      line("# UNIT " + name_ + " " + std::string(unit));
    line("# HELP " + name_ + " " + std::string(f.name->help));
    for (const MetricSample& s : f.samples) {
      if (const double* value = std::get_if<double>(&s.value))
        sample(f.name->kind == MetricKind::counter ? "_total" : "", s.labels, number(*value));
      else
        add(s.labels, std::get<HistogramSample>(s.value));
    }
  }

  std::string take() { return std::move(text_) + "# EOF\n"; }

 private:
  void add(const Labels& labels, const HistogramSample& h) {
    const auto bucket = [&](const std::string& le, std::uint64_t n) {
      Labels with = labels;
      with.emplace_back("le", le);
      sample("_bucket", with, std::to_string(n));
    };
    for (std::size_t i = 0; i < h.bounds.size(); ++i) bucket(edge(h.bounds[i]), h.up_to[i]);
    bucket("+Inf", h.count);
    sample("_count", labels, std::to_string(h.count));
    sample("_sum", labels, number(h.sum));
  }

  void sample(std::string_view ending, const Labels& labels, const std::string& value) {
    std::string out = name_ + std::string(ending);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const std::string name = otel_ ? underscored(otel_attribute(labels[i].first)) : std::string(labels[i].first);
      out += (i == 0 ? "{" : ",") + name + "=\"" + escaped(labels[i].second) + "\"";
    }
    line(out + (labels.empty() ? " " : "} ") + value);
  }

  void line(const std::string& text) {
    text_ += text;
    text_ += '\n';
  }

  bool otel_;
  std::string text_, name_;
};

}  // namespace

std::string open_metrics(const Meter& meter, const MetricsOptions& options) {
  Writer writer(options.otel_names);
  for (const Family& f : families_of(meter, options, nullptr)) writer.add(f);
  return writer.take();
}

}  // namespace frugal
