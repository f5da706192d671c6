"""one_definition.py finds types that two files define, and nothing else."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import one_definition  # noqa: E402


class OneDefinition(unittest.TestCase):
    def test_types_at_namespace_scope_are_found(self):
        source = "namespace a::b {\nstruct X final : Y<int> {\n  struct Inner {};\n};\nclass FRUGAL_API Z {};\n}\n"
        self.assertEqual(list(one_definition.types(source)), ["a::b::X", "a::b::Z"])

    def test_what_other_files_do_not_see_is_left_out(self):
        source = "namespace a {\nnamespace {\nstruct X {};\n}\nstruct Y;\nstruct P::Impl {};\nvoid f() { struct L {}; }\n// struct C {\n}\n"
        self.assertEqual(list(one_definition.types(source)), [])

    def test_two_files_are_a_breach(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name in ("include/one.hpp", "src/two.cpp"):
                (root / name).parent.mkdir(exist_ok=True)
                (root / name).write_text("namespace f {\nstruct Outcome {\n  int a;\n};\n}\n")
            self.assertEqual(one_definition.twice(root), {"f::Outcome": ["include/one.hpp", "src/two.cpp"]})


unittest.main()
