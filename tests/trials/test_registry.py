"""Registries find entries by name, load plug-ins, and explain mistakes in one sentence."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from trials import registry
from trials.errors import InputError
from trials.registry import Registry, load_plugin


def test_an_entry_is_found_by_name_in_the_order_of_registration() -> None:
    fruit: Registry[int] = Registry("fruit", group="none")
    fruit.register("pear", 1)
    fruit.register("apple", 2)
    assert list(fruit) == ["pear", "apple"]
    assert fruit["apple"] == fruit.find("apple") == 2
    assert len(fruit) == 2


def test_an_unknown_name_names_the_nearest() -> None:
    fruit: Registry[int] = Registry("fruit", group="none")
    fruit.register("pear", 1)
    with pytest.raises(InputError, match=r"^finetune: there is no fruit 'paer'; did you mean 'pear'\?$"):
        fruit.find("paer", where="finetune: ")


def test_a_name_is_given_once() -> None:
    fruit: Registry[int] = Registry("fruit", group="none")
    fruit.register("pear", 1)
    fruit.register("pear", 1)
    with pytest.raises(InputError, match="already a fruit named 'pear'"):
        fruit.register("pear", 2)


def test_own_modules_keep_their_order_whichever_is_imported_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = ("first_fruit", "second_fruit")
    for module in modules:
        (tmp_path / f"{module}.py").write_text(f"class Kind: pass\nimport builtins\nbuiltins.FRUIT.register('{module}', Kind())\n")
    fruit: Registry[object] = Registry("fruit", group="none", modules=modules)
    monkeypatch.setattr("builtins.FRUIT", fruit, raising=False)
    fruit.register("of a plug-in", object())
    importlib.import_module("second_fruit")
    assert list(fruit) == [*modules, "of a plug-in"]


def test_a_plugin_file_registers_once(tmp_path: Path) -> None:
    file = tmp_path / "more.py"
    file.write_text("from trials.registry import Registry\nimport trials.registry as r\nr.SEEN = getattr(r, 'SEEN', 0) + 1\n")
    load_plugin(file)
    load_plugin(file)
    assert vars(registry).pop("SEEN") == 1


@pytest.mark.parametrize(("text", "sentence"), [(None, "there is no Python file"), ("1 / 0", "ZeroDivisionError: division by zero")])
def test_a_plugin_that_cannot_be_loaded_is_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    file = tmp_path / "broken.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=sentence):
        load_plugin(file)


def test_entry_points_of_the_group_are_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fruit_package.py").write_text("import tests.trials.test_registry as t\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint(name="pear", value="fruit_package", group="scaling_laws.fruit")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "scaling_laws.fruit" else [])
    fruit: Registry[int] = Registry("fruit", group="scaling_laws.fruit")
    assert list(fruit) == []
    assert "fruit_package" in sys.modules
    bad = EntryPoint(name="plum", value="no_such_package", group="scaling_laws.fruit")
    monkeypatch.setattr(registry, "entry_points", lambda group: [bad])
    with pytest.raises(InputError, match=r"entry point 'plum' of scaling_laws.fruit\) cannot be imported: ModuleNotFoundError"):
        list(Registry("fruit", group="scaling_laws.fruit"))
