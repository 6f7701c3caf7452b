"""No backend may leave the contract by the back door."""

from __future__ import annotations

import ast
from pathlib import Path

CONTRACT = Path(__file__).parents[1] / "contract"


def test_no_subclass_overrides_a_contract_test() -> None:
    """A subclass of the contract defines no test, unless it is marked xfail with a reason."""
    seen = []
    for module in sorted(CONTRACT.glob("test_*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and "BackendContract" in ast.unparse(node):
                seen.append(node.name)
                for item in node.body:
                    names = [item.name] if isinstance(item, ast.FunctionDef) else _assigned(item)
                    tests = [name for name in names if name.startswith("test_")]
                    assert not tests or "xfail(reason=" in ast.unparse(item), f"{module.name}: {tests}"
    assert seen, "no backend has joined the contract"


def _assigned(item: ast.stmt) -> list[str]:
    targets = item.targets if isinstance(item, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]
