# The chat templates against jinja2, byte for byte.
find_package(nlohmann_json 3.11 REQUIRED)
add_executable(jinja_driver jinja_driver.cpp)
target_link_libraries(jinja_driver PRIVATE frugal_flags frugal_room_text frugal_room_core nlohmann_json::nlohmann_json)
set_target_properties(jinja_driver PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tests)

add_test(NAME jinja_differential COMMAND sh -c
  "test -x '${FRUGAL_ROOT}/.deps/venv/bin/python' || { echo 'no python environment; skipped'; exit 77; }; exec '${FRUGAL_ROOT}/.deps/venv/bin/python' '${CMAKE_CURRENT_SOURCE_DIR}/jinja_differential.py' --driver '$<TARGET_FILE:jinja_driver>' --gguf '${FRUGAL_ROOT}/.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf' --packages '${FRUGAL_ROOT}/.deps/templates' --at-least 60 --conversations 60")
set_tests_properties(jinja_differential PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600 LABELS differential)
