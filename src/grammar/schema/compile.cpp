#include "grammar/compile.hpp"

#include "grammar/schema/tables.hpp"

namespace frugal::grammar {

namespace {

constexpr std::uint32_t kMostBlanks = 64;

ExprId blanks_of(ExprStore& store, Whitespace whitespace) {
  if (whitespace == Whitespace::compact) return kEmptyText;
  ByteSet blanks;
  for (const char c : std::string_view(" \t\n\r")) blanks.add(static_cast<std::uint8_t>(c));
  return store.repeat(store.bytes(blanks), 0, kMostBlanks);
}

}  // namespace

ValueId add_json_schema(Program& program, std::string_view schema, const JsonSchemaOptions& options) {
  const Document document(schema, program.limits);
  ReaderOptions reading;
  reading.in_order = options.order == Order::schema;
  reading.lenient = {options.lenient.begin(), options.lenient.end()};
  Reader reader(document, program.store, program.limits, std::move(reading));
  Values values(reader);
  Tables tables(program, values);
  add_json_signs(program, blanks_of(program.store, options.whitespace));
  program.any_character = values.any_character();
  program.writers_character = reader.strings().any();
  const ValueId root = tables.value_of({reader.lit(document.root())});
  if (!tables.finish(root)) program.refusals.push_back({"", "", "no value meets the schema"});
  return root;
}

std::unique_ptr<Program> compile_json_schema(std::string_view schema, const JsonSchemaOptions& options,
                                             const Limits& limits) {
  auto program = std::make_unique<Program>(limits);
  const ValueId root = add_json_schema(*program, schema, options);
  program->start.push_back({Symbol::Kind::value, root});
  if (!options.lenient.empty()) program->judged_by = std::string(schema);
  return program;
}

}  // namespace frugal::grammar
