// ask_driver URL CA_FILE: one request through an HttpEndpoint; prints how it ended as one JSON object. `finishes` counts
// the ends that its sink was told of.
#include <frugal/http/http_endpoint.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

using namespace frugal;
using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  HttpOptions options;
  options.name = "remote";
  options.url = argv[1];
  options.model = "m";
  options.ca_file = argv[2];
  options.key = [] { return "planted-key"; };
  options.retries.base = 5ms;
  options.timeouts = {.connect = 5s, .first_byte = 5s, .gap = 5s};
  std::atomic<int> finishes{0};
  std::string text;
  Finish finish;
  {
    HttpEndpoint endpoint(options);
    Request request;
    request.prompt = Chat{{{"user", "planted prompt"}}};
    endpoint.submit(
        std::move(request), [&](const Delta& delta) { text += delta.text; },
        [&](Finish f) {
          finish = std::move(f);
          ++finishes;
        });
    endpoint.drive([&] { return finishes.load() > 0; });
  }
  nlohmann::json out{{"reason", to_string(finish.reason)}, {"text", text}, {"finishes", finishes.load()}};
  if (finish.error) out["code"] = to_string(finish.error->code());
  if (finish.error) out["message"] = finish.error->message();
  std::cout << out.dump() << "\n";
}
