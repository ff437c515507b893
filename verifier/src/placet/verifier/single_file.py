"""The verifier as one file, which runs wherever there is a Python.

The modules are joined in the order in which they build on each other; what they import from each other is taken out,
since it is all there. Two of them with one name for different things would be a mistake, and is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ORDER = (
    "failures",
    "ed25519",
    "documents",
    "notes",
    "envelopes",
    "policy_files",
    "values",
    "patterns",
    "operations",
    "code",
    "expressions",
    "rules",
    "dossier",
    "readme",
    "names",
    "bundles",
    "checks",
    "program",
)
_FIRST = "#!/usr/bin/env python3\n"
_LAST = '\n\nif __name__ == "__main__":\n    sys.exit(main())\n'
_OWN = "placet.verifier"


def single_file() -> str:
    """The program's text. The same modules give the same text."""
    here = Path(__file__).parent
    texts = {name: (here / f"{name}.py").read_text(encoding="utf-8") for name in ORDER}
    imports: dict[str, set[str]] = {}
    seen: dict[str, str] = {}
    parts = []
    for name, text in texts.items():
        tree = ast.parse(text)
        for defined in _defined(tree):
            if defined in seen:
                raise ValueError(
                    f"{name} and {seen[defined]} both define {defined}: one file cannot have both"
                )
            seen[defined] = name
        body = _without_imports(tree, text, imports)
        first_line = (ast.get_docstring(tree) or "").partition("\n")[0]
        parts.append(f"# --- {name}: {first_line}\n\n\n{body}")
    about = ast.get_docstring(ast.parse(texts["program"]), clean=False)
    head = f'{_FIRST}"""{about}"""\n\nfrom __future__ import annotations\n\n{_imports(imports)}\n\n\n'
    return head + "\n\n".join(parts) + _LAST


def _defined(tree: ast.Module) -> Iterator[str]:
    for each in tree.body:
        match each:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (
                    named.id
                    for target in targets
                    for named in ast.walk(target)
                    if isinstance(named, ast.Name)
                )
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                continue


def _without_imports(tree: ast.Module, text: str, imports: dict[str, set[str]]) -> str:
    """The module from behind its imports on, which are noted; they come first in every one of these."""
    last = 0
    for each in tree.body:
        match each:
            case ast.ImportFrom(module=str(module), names=names):
                if module != "__future__" and not module.startswith(_OWN):
                    imports.setdefault(module, set()).update(one.name for one in names)
            case ast.Import(names=names):
                for one in names:
                    imports.setdefault(one.name, set())
            case ast.Expr(value=ast.Constant(value=str())) if each is tree.body[0]:
                pass
            case _:
                break
        last = each.end_lineno or 0
    return "\n".join(text.split("\n")[last:]).strip("\n") + "\n"


def _imports(found: dict[str, set[str]]) -> str:
    whole = [f"import {module}" for module in sorted(found) if not found[module]]
    parts = [
        f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(found.items()) if names
    ]
    return "\n".join([*whole, *parts])
