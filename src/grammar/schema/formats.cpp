// The formats of the specification as patterns. They are asserted, not annotated: a schema's author names a format to
// get it. Names that the specification does not define say nothing.
#include "grammar/schema/reader.hpp"

namespace frugal::grammar {

namespace {

#define YEAR_MONTH_DAY                                                                                  \
  "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|" \
  "02-(?:0[1-9]|1[0-9]|2[0-8]))|"                                                                       \
  "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
#define CLOCK "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
#define BYTE "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4 BYTE "(?:\\." BYTE "){3}"
#define HEX16 "[0-9a-fA-F]{1,4}"
#define LAST32 "(?:" HEX16 ":" HEX16 "|" IPV4 ")"
#define IPV6                                                                                                           \
  "(?:(?:" HEX16 ":){6}" LAST32 "|::(?:" HEX16 ":){5}" LAST32 "|(?:" HEX16 ")?::(?:" HEX16 ":){4}" LAST32              \
  "|(?:(?:" HEX16 ":){0,1}" HEX16 ")?::(?:" HEX16 ":){3}" LAST32 "|(?:(?:" HEX16 ":){0,2}" HEX16 ")?::(?:" HEX16       \
  ":){2}" LAST32 "|(?:(?:" HEX16 ":){0,3}" HEX16 ")?::" HEX16 ":" LAST32 "|(?:(?:" HEX16 ":){0,4}" HEX16 ")?::" LAST32 \
  "|(?:(?:" HEX16 ":){0,5}" HEX16 ")?::" HEX16 "|(?:(?:" HEX16 ":){0,6}" HEX16 ")?::)"
#define LABEL "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
#define HOSTNAME LABEL "(?:\\." LABEL ")*"
#define ATOM "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
#define PERCENT "%[0-9a-fA-F]{2}"
#define UNRESERVED "[a-zA-Z0-9._~-]"
#define SUB "[!$&'()*+,;=]"
#define PCHAR "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|" PERCENT ")"
#define REG_NAME "(?:[a-zA-Z0-9._~!$&'()*+,;=-]|" PERCENT ")*"
#define USER "(?:[a-zA-Z0-9._~!$&'()*+,;=:-]|" PERCENT ")*"
#define IP_LITERAL "\\[(?:" IPV6 "|v[0-9a-fA-F]+\\.[a-zA-Z0-9._~!$&'()*+,;=:-]+)\\]"
#define AUTHORITY "(?:" USER "@)?(?:" IP_LITERAL "|" REG_NAME ")(?::[0-9]*)?"
#define QUERY "(?:\\?(?:" PCHAR "|[/?])*)?"
#define FRAGMENT "(?:#(?:" PCHAR "|[/?])*)?"
#define ABEMPTY "(?:/" PCHAR "*)*"
#define URI                                                                                           \
  "[a-zA-Z][a-zA-Z0-9+.-]*:(?://" AUTHORITY ABEMPTY "|/(?:" PCHAR "+" ABEMPTY ")?|" PCHAR "+" ABEMPTY \
  "|)" QUERY FRAGMENT
#define RELATIVE                                                                                                \
  "(?://" AUTHORITY ABEMPTY "|/(?:" PCHAR "+" ABEMPTY ")?|(?:[a-zA-Z0-9._~!$&'()*+,;=@-]|" PERCENT ")+" ABEMPTY \
  "|)" QUERY FRAGMENT
#define WHOLE(pattern) "^(?:" pattern ")$"

constexpr std::pair<std::string_view, std::string_view> kFormats[] = {
    {"date", WHOLE(YEAR_MONTH_DAY)},
    {"time", WHOLE(CLOCK)},
    {"date-time", WHOLE(YEAR_MONTH_DAY "[Tt]" CLOCK)},
    {"duration", WHOLE("P(?:[0-9]+W|(?:[0-9]+D|[0-9]+M(?:[0-9]+D)?|[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?)"
                       "(?:T(?:[0-9]+S|[0-9]+M(?:[0-9]+S)?|[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?))?|"
                       "T(?:[0-9]+S|[0-9]+M(?:[0-9]+S)?|[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?))")},
    {"email", WHOLE(ATOM "(?:\\." ATOM ")*@(?:" HOSTNAME "|\\[" IPV4 "\\]|\\[IPv6:" IPV6 "\\])")},
    {"hostname", "^(?=.{1,253}$)" HOSTNAME "$"},
    {"ipv4", WHOLE(IPV4)},
    {"ipv6", WHOLE(IPV6)},
    {"uuid", WHOLE("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")},
    {"uri", WHOLE(URI)},
    {"uri-reference", WHOLE(URI "|" RELATIVE)},
    {"json-pointer", WHOLE("(?:/(?:[^~/]|~[01])*)*")},
    {"relative-json-pointer", WHOLE("(?:0|[1-9][0-9]*)(?:#|(?:/(?:[^~/]|~[01])*)*)")},
};

}  // namespace

std::string_view format_pattern(std::string_view name) {
  for (const auto& [known, pattern] : kFormats) {
    if (known == name) return pattern;
  }
  return {};
}

}  // namespace frugal::grammar
