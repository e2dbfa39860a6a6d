# SPDX-License-Identifier: MIT
"""Where a C file can be changed, and how: found in its syntax tree, told in its own words.

Positions come from libclang. What a macro made stands where nothing was written, so an operator is
taken for one only if it can be read between its operands: what is inside the arguments of macros,
memory orders among it, is left alone. A change of an expression replaces it by another of its type;
a change of a statement removes it.
"""

import collections
import dataclasses
import re

from clang.cindex import CursorKind, Index, TypeKind

SWAPS = {
    "<": ["<="], "<=": ["<"], ">": [">="], ">=": [">"], "==": ["!="], "!=": ["=="],
    "&&": ["||"], "||": ["&&"], "+": ["-"], "-": ["+"], "&": ["|"], "|": ["&"],
    "<<": [">>"], ">>": ["<<"],
    "+=": ["-="], "-=": ["+="], "|=": ["&="], "&=": ["|="],
}  # fmt: skip
DECIDING = {"<", "<=", ">", ">=", "==", "!=", "&&", "||"}
COMMENT = re.compile(r"/\*.*?\*/", re.S)
LITERAL = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)([uUlL]*)$")
JUMPS = {CursorKind.GOTO_STMT, CursorKind.BREAK_STMT, CursorKind.CONTINUE_STMT}
CALLS = {CursorKind.CALL_EXPR, CursorKind.UNEXPOSED_EXPR, CursorKind.CSTYLE_CAST_EXPR}
# What the compiler must know, and what is not run.
FIXED = {
    CursorKind.ENUM_DECL, CursorKind.STRUCT_DECL, CursorKind.TYPEDEF_DECL,
    CursorKind.STATIC_ASSERT, CursorKind.CXX_UNARY_EXPR,
}  # fmt: skip


@dataclasses.dataclass
class Mutant:
    file: str
    function: str
    line: int
    start: int
    end: int
    text: str | None  # what stands there instead; None: a statement is removed
    before: str  # the lines in question, as one
    after: str
    number: int = 0

    @property
    def key(self):
        return (self.file, self.function, self.before, self.after)


class Finder:
    def __init__(self, file, text):
        self.file, self.text = file, text
        self.mutants = []
        self.function = self.result = None
        self.last = False  # whether this is the last statement of its function

    def find(self, unit, path):
        for cursor in unit.cursor.get_children():
            if (cursor.kind == CursorKind.FUNCTION_DECL and cursor.is_definition()
                    and cursor.location.file and cursor.location.file.name == str(path)):
                self.function, self.result = cursor.spelling, cursor.result_type.spelling
                statements = list(list(cursor.get_children())[-1].get_children())
                for statement in statements:
                    self.last = statement == statements[-1]
                    self.visit(statement, "statement")
        return numbered_alike(self.mutants)

    def source(self, cursor):
        return self.text[cursor.extent.start.offset:cursor.extent.end.offset]

    def add(self, start, end, text):
        first = self.text.rfind("\n", 0, start) + 1
        last = self.text.find("\n", end - 1)
        changed = self.text[first:start] + (text or "/* removed */") + self.text[end:last]
        self.mutants.append(Mutant(
            self.file, self.function, self.text.count("\n", 0, start) + 1, start, end, text,
            " ".join(self.text[first:last].split()), " ".join(changed.split())))

    def replace(self, cursor, text):
        self.add(cursor.extent.start.offset, cursor.extent.end.offset, text)

    def visit(self, cursor, place):
        """`place`: statement, condition, or value."""
        kind = cursor.kind
        children = list(cursor.get_children())
        if kind in FIXED or cursor.spelling.startswith("__builtin"):
            return
        if place == "statement":
            self.statement(cursor, children)
        elif place == "condition":
            self.condition(cursor)
        if kind == CursorKind.BINARY_OPERATOR or kind == CursorKind.COMPOUND_ASSIGNMENT_OPERATOR:
            self.binary(cursor, *children)
        elif kind == CursorKind.UNARY_OPERATOR:
            self.unary(cursor, children[0])
        elif kind == CursorKind.INTEGER_LITERAL:
            self.literal(cursor)
        elif kind == CursorKind.RETURN_STMT and children:
            self.returned(children[0])
        for index, child in enumerate(children):
            inner = self.place_of(cursor, children, index)
            if inner:
                self.visit(child, inner)

    def place_of(self, cursor, children, index):
        """Where a child stands; None for one that stays as it is."""
        kind, child = cursor.kind, children[index]
        first, final = index == 0, index == len(children) - 1
        if kind == CursorKind.IF_STMT:
            return "condition" if first else "statement"
        if kind == CursorKind.CONDITIONAL_OPERATOR and first:
            return "condition"
        if kind == CursorKind.COMPOUND_STMT:
            return "statement"
        if kind in (CursorKind.WHILE_STMT, CursorKind.FOR_STMT, CursorKind.SWITCH_STMT,
                    CursorKind.LABEL_STMT, CursorKind.DEFAULT_STMT):
            return "statement" if final else "value"
        if kind == CursorKind.DO_STMT:
            return "statement" if first else "value"
        if kind == CursorKind.CASE_STMT:
            return None if first else "statement"
        if kind == CursorKind.VAR_DECL:
            array = cursor.type.kind in (TypeKind.CONSTANTARRAY, TypeKind.VARIABLEARRAY)
            static = self.source(cursor).startswith("static")
            if static or (array and child.kind != CursorKind.INIT_LIST_EXPR):
                return None
        if kind == CursorKind.INIT_LIST_EXPR and self.source(cursor) == "{0}":
            return None
        return "value"

    def statement(self, cursor, children):
        kind, source = cursor.kind, self.source(cursor)
        assigns = kind == CursorKind.COMPOUND_ASSIGNMENT_OPERATOR or (
            kind == CursorKind.BINARY_OPERATOR and self.operator(*children) == "=")
        steps = kind == CursorKind.UNARY_OPERATOR and ("++" in source or "--" in source)
        calls = (kind in CALLS and "(" in source and not re.match(r"\(void\)\w+$", source)
                 or source.startswith("MOAT_CHECK")) and not source.startswith("MOAT_ASSERT")
        returns = kind == CursorKind.RETURN_STMT and not self.last
        if not (assigns or steps or calls or returns or kind in JUMPS):
            return
        end = cursor.extent.end.offset
        semicolon = re.compile(r"\s*;").match(self.text, end)
        if semicolon:
            self.add(cursor.extent.start.offset, semicolon.end(), None)

    def condition(self, cursor):
        """Negated, unless its operator is changed anyway."""
        inner = bare(cursor)
        negates = inner.kind == CursorKind.UNARY_OPERATOR and self.source(inner).startswith("!")
        decides = (inner.kind == CursorKind.BINARY_OPERATOR
                   and self.operator(*inner.get_children()) in DECIDING)
        if not negates and not decides and self.source(cursor) not in ("true", "false"):
            self.replace(cursor, f"!({self.source(cursor)})")

    def operator(self, left, right):
        between = self.text[left.extent.end.offset:right.extent.start.offset]
        return COMMENT.sub("", between).strip()

    def binary(self, cursor, left, right):
        operator = self.operator(left, right)
        for other in SWAPS.get(operator, []):
            start, end = left.extent.end.offset, right.extent.start.offset
            between = self.text[start:end].replace(operator, other)
            self.replace(cursor, self.source(left) + between + self.source(right))
        if operator in ("&&", "||"):
            self.replace(cursor, self.source(left))
            self.replace(cursor, self.source(right))

    def unary(self, cursor, operand):
        source = self.source(cursor)
        if source.startswith("!") and self.source(operand):
            self.replace(cursor, f"!!{self.source(operand)}")
        elif source.startswith("~") and self.source(operand):
            self.replace(cursor, self.source(operand))

    def literal(self, cursor):
        source = self.source(cursor)
        number = LITERAL.match(source)
        if source in ("true", "false"):
            self.replace(cursor, "false" if source == "true" else "true")
        elif number:
            value, suffix = int(number[1], 0), number[2]
            self.replace(cursor, f"{0 if value == 1 else value + 1}{suffix}")

    def returned(self, cursor):
        source = self.source(cursor)
        if self.result == "enum moat_status" and source != "MOAT_OK":
            self.replace(cursor, "MOAT_OK")
        elif self.result in ("bool", "_Bool") and source not in ("true", "false"):
            self.condition(cursor)


def bare(cursor):
    """What is inside parentheses and conversions that nobody wrote."""
    children = list(cursor.get_children())
    if cursor.kind in (CursorKind.PAREN_EXPR, CursorKind.UNEXPOSED_EXPR) and len(children) == 1:
        return bare(children[0])
    return cursor


def numbered_alike(mutants):
    """Mutants that read the same within their function are told apart by a number."""
    times = collections.Counter()
    for mutant in mutants:
        times[mutant.key] += 1
        if times[mutant.key] > 1:
            mutant.after += f" /* {times[mutant.key]} */"
    return mutants


def find(path, file, arguments):
    """The mutants of a file that compiles with these arguments."""
    text = path.read_bytes().decode("latin-1")
    unit = Index.create().parse(str(path), arguments)
    errors = [str(problem) for problem in unit.diagnostics if problem.severity >= 3]
    if errors:
        raise SystemExit(f"{file}: {errors[0]}")
    return Finder(file, text).find(unit, path)
