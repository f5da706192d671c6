"""sizes.py finds what is too large, and nothing else."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import sizes  # noqa: E402


def found(source):
    return [(name, lines, count) for _, name, lines, count in sizes.functions(source)]


class Sizes(unittest.TestCase):
    def test_lines_and_parameters_are_counted(self):
        self.assertEqual(found("int f(int a, std::map<int, int> b) {\n  return a;\n}\n"), [("f", 3, 2)])
        self.assertEqual(found("void g() {}\n"), [("g", 1, 0)])

    def test_methods_constructors_and_qualifiers_are_functions(self):
        source = "struct A {\n  A(int a, int b) : a_(a), b_{b} {}\n  int get() const noexcept override { return a_; }\n};\n"
        self.assertEqual([name for name, _, _ in found(source)], ["A", "get"])
        self.assertEqual(found("auto A::h(int a) const -> int {\n}\n"), [("A::h", 2, 1)])

    def test_statements_are_not_functions(self):
        self.assertEqual([n for n, _, _ in found("void f() {\n  if (a) { b(); }\n  for (;;) { }\n  while (x) {\n  }\n}\n")], ["f"])

    def test_braces_in_literals_and_comments_count_for_nothing(self):
        self.assertEqual(found("void f() {  // {\n  g(\"{/*\", '{', R\"(})\");  /* } */\n}\n"), [("f", 3, 0)])

    def test_a_long_function_and_one_with_many_parameters_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "src").mkdir()
            (root / "src/a.cpp").write_text("void f() {\n" + "  g();\n" * 60 + "}\nvoid h(int a, int b, int c, int d, int e, int f, int g) {}\n")
            self.assertEqual(list(sizes.complaints(root)), [
                "src/a.cpp:1: f has 62 lines, 60 is the most",
                "src/a.cpp:63: h has 7 parameters, 6 is the most: make a struct"])

    def test_a_long_file_and_a_room_with_few_tests_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, lines in {"src/engine/a.cpp": 401, "include/frugal/engine/b.hpp": 251, "tests/engine/a_test.cpp": 300}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text("\n" * lines)
            self.assertEqual(list(sizes.complaints(root)), [
                "include/frugal/engine/b.hpp has 251 lines, 250 is the most",
                "src/engine/a.cpp has 401 lines, 400 is the most",
                "half of the public headers have more than 100 lines",
                "tests/engine has 300 lines for 652 of the room, at least 0.7 a line are wanted"])

    def test_functions_with_six_parameters_are_few(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "src").mkdir()
            six = "void h(int a, int b, int c, int d, int e, int f) {}\n"
            (root / "src/a.cpp").write_text("void f() {}\n" * 299 + six)
            self.assertEqual(list(sizes.complaints(root)), [])
            (root / "src/b.cpp").write_text(six)
            self.assertEqual(list(sizes.complaints(root)), [
                "2 of 301 functions have 6 or more parameters: src/a.cpp:300: h; src/b.cpp:1: h"])


if __name__ == "__main__":
    unittest.main()
