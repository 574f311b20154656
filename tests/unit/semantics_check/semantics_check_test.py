#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The check of docs/SEMANTICS.md finds what it is there to find."""

import pathlib
import tempfile
import unittest

import semantics_check

TESTS = {"Suite.one", "Suite.two", "test_a.Class.test_b"}


def problems(*lines):
    return [text for _, text in semantics_check.check("\n".join(lines), TESTS)]


class Check(unittest.TestCase):
    """What is right and what is not."""

    def test_bullet_with_a_test_a_sentence_is_right(self):
        self.assertEqual([], problems("* One thing, and", "  another. `a..b` (so. so.) too.",
                                      "  <!-- tests: Suite.one,", "  test_a.Class.test_b -->"))

    def test_bullet_without_tests_is_found(self):
        self.assertEqual(["1 sentences and 0 tests behind them"], problems("* Promised."))

    def test_second_sentence_without_a_test_is_found(self):
        self.assertEqual(["2 sentences and 1 tests behind them"],
                         problems("* Promised. And more.", "  <!-- tests: Suite.one -->"))

    def test_same_test_twice_counts_once(self):
        self.assertEqual(["2 sentences and 1 tests behind them"],
                         problems("* A. B.", "  <!-- tests: Suite.one, Suite.one -->"))

    def test_name_of_no_test_is_found(self):
        self.assertEqual(["there is no test Suite.three"],
                         problems("* A.", "  <!-- tests: Suite.one, Suite.three -->"))

    def test_text_behind_a_heading_belongs_to_no_bullet(self):
        self.assertEqual([], problems("* A.", "  <!-- tests: Suite.one -->", "", "## B", "  text."))

    def test_lines_are_those_of_the_page(self):
        self.assertEqual(
            [(3, "1 sentences and 0 tests behind them")],
            semantics_check.check("# T\n\n* A.\n", TESTS))


class Known(unittest.TestCase):
    """Which tests there are."""

    def test_both_languages(self):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            (root / "a.cpp").write_text("TEST(S, plain) {}\nTEST_F(F, fixture) {\n// TEST(S, no)\n")
            (root / "test_x.py").write_text(
                "class C:\n    def test_y(self): pass\n    def helper(self): pass\n")
            self.assertEqual({"S.plain", "F.fixture", "test_x.C.test_y"},
                             semantics_check.known_tests(root))


if __name__ == "__main__":
    unittest.main()
