"""The layers check finds what it is for: each planted breach in a tree of its own, and a clean tree without complaint."""
import pathlib
import tempfile
import unittest

import layers

CLEAN = {
    "include/frugal/config.hpp": "",
    "include/frugal/core/ids.hpp": "#include <frugal/config.hpp>\n#include <cstdint>\n",
    "src/core/ids.cpp": '#include <frugal/core/ids.hpp>\n// std::cout in a comment, "abort()" in text: const char* s = "std::cerr";\n',
    "src/engine/loop.cpp": '#include "loop.hpp"\n#include <frugal/policy/output.hpp>\n',
    "src/engine/loop.hpp": "#include <vector>\n",
    "src/tools/main.cpp": "#include <iostream>\n#include <CLI/CLI.hpp>\n",
}
BREACHES = {
    "a lower room sees a higher one": ("src/text/bpe.cpp", "#include <frugal/engine/engine.hpp>"),
    "a policy sees a backend": ("include/frugal/policy/x.hpp", "#include <frugal/backend/backend.hpp>"),
    "a backend sees a policy by source path": ("src/cpu/x.cpp", '#include "policy/lru.hpp"'),
    "a public header includes json": ("include/frugal/core/x.hpp", "#include <nlohmann/json_fwd.hpp>"),
    "torch outside its room": ("src/engine/x.cpp", "#include <ATen/ATen.h>"),
    "fmt in a torch file": ("src/torch/x.cpp", "#include <fmt/format.h>"),
    "the expensive torch header": ("src/torch/x.cpp", "#include <torch/torch.h>"),
    "the library prints": ("src/engine/x.cpp", "void f() { std::printf(0); std::cout << 1; }"),
    "the library aborts": ("src/cache/x.cpp", "void f() { std::abort(); }"),
    "the library reads the environment": ("src/core/x.cpp", "auto v = std::getenv(name);"),
    "a room nobody knows": ("src/attic/x.cpp", ""),
    "an example reaches into src": ("examples/x.cpp", '#include "engine/loop.hpp"'),
}


class Layers(unittest.TestCase):
    def found(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return list(layers.breaches(pathlib.Path(folder)))

    def test_a_clean_tree_has_no_breach(self):
        self.assertEqual(self.found(CLEAN), [])

    def test_each_breach_is_found_where_it_is(self):
        for what, (name, text) in BREACHES.items():
            with self.subTest(what):
                found = self.found({**CLEAN, name: text})
                self.assertTrue(found and all(f.startswith(name) for f in found), found)


if __name__ == "__main__":
    unittest.main()
