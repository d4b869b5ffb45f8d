"""Configs of MONAI bundles read as plain data; the oracle is MONAI's own parser, which evaluates them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.monai.config.calculation import NotPlainError
from ctseg_models.bundles.monai.config.components import Code, Component, parts_of
from ctseg_models.bundles.monai.config.expressions import evaluate
from ctseg_models.bundles.monai.config.plain_files import read_plain
from ctseg_models.bundles.monai.config.reader import Config
from ctseg_models.bundles.monai.config.work import Work
from tests.pace import at_most

CONFIG: dict[str, Any] = {
    "size": [96, 96, 64],
    "options": {"highres": True, "overlap": 0.25, "levels": {"deep": 3}},
    "name": "model",
    "one": 1,
    "sum": "$@one + 2 * 3",
    "half": "$@size#0 // 2",
    "old": "$@size::2 - @one",
    "joined": "$@name + '.pt'",
    "same": "@options#levels#deep",
    "choice": "$[1.5, 1.5, 1.5] if @options#highres else [3.0] * 3",
    "nested": {"a": 5, "b": "@#a", "c": {"d": "$@##a * 2", "e": ["@####one"]}},
    "copied": "%nested#a",
    "length": "$len(@size)",
    "largest": "$max(@size) if 'mod' in @name and not @one > 1 else None",
    "sliced": "$@size[1:]",
    "chain": "$0 < @one <= 1 != 3",
    "text": "an @ in a text",
    "email": "a@b.c",
    "either": "$@none or @name",
    "none": None,
    "neg": "$-@one % 5",
    "list": ["@one", "$@one + 1", {"k": "@name"}],
    "dropped": [
        {"_target_": "Identityd", "keys": "a", "_disabled_": True},
        {"_target_": "Identityd", "keys": "b", "_disabled_": "$@one > 1"},
    ],
}


def config(tmp_path: Path, content: Any, name: str = "inference.json") -> Config:
    (tmp_path / "configs").mkdir(exist_ok=True)
    path = tmp_path / "configs" / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Config.read(path, tmp_path)


@pytest.mark.parametrize("name", [name for name in CONFIG if name != "dropped"])
def test_values_are_those_of_monais_parser(name: str, tmp_path: Path) -> None:
    ours = config(tmp_path, CONFIG).resolve(name)
    parser = ConfigParser()
    parser.read_config(str(tmp_path / "configs/inference.json"))
    assert ours == parser.get_parsed_content(name)


def test_components_keep_their_arguments_and_disabled_ones_are_left_out(tmp_path: Path) -> None:
    dropped = config(tmp_path, CONFIG).resolve("dropped")
    assert [one.arguments for one in dropped] == [{"keys": "b"}]
    read = config(
        tmp_path,
        {
            "net": {"_target_": "monai.networks.nets.UNet", "_desc_": "x", "spatial_dims": "$1 + 2"},
            "alias": "@net",
        },
    )
    assert read.resolve("alias") is read.resolve("net")
    assert read.resolve("net") == Component("monai.networks.nets.UNet", {"spatial_dims": 3}, "net")
    assert (read.resolve("net").name, Component("scripts.UNet", {}, "").name) == ("UNet", "scripts.UNet")


def test_yaml_and_entries_that_replace_parts_of_others(tmp_path: Path) -> None:
    read = config(
        tmp_path, "a:\n  b: [1, 2]\n  c: '@a#b#1'\na#b#1: 7\n'a::d': '$@a#c + 1'\n", "inference.yaml"
    )
    assert read.resolve("a") == {"b": [1, 7], "c": 7, "d": 8}


def test_macros_from_another_file_of_the_bundle(tmp_path: Path) -> None:
    config(tmp_path, {"deep": {"x": [4, 5]}}, "other.json")
    assert config(tmp_path, {"y": "%other.json#deep#x", "z": "%configs/other.json::deep"}).resolve("y") == [
        4,
        5,
    ]
    (tmp_path.parent / "outside.json").write_text("{}")
    with pytest.raises(BundleError, match="outside the bundle"):
        config(tmp_path, {"y": "%../outside.json#deep"})


def test_there_is_no_gpu_as_far_as_a_config_goes(tmp_path: Path) -> None:
    read = config(
        tmp_path,
        {
            "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
            "dtype": "$numpy.float32",
        },
    )
    assert (read.resolve("device"), read.resolve("dtype")) == ("cpu", "float32")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__[0].__subclasses__()",
        "open('x', 'w')",
        "[i for i in range(3)]",
        "lambda x: x",
        "'%s' % 'a'",
        "f'{1}'",
        "print(1)",
        "(1).real",
        "'a'.upper()",
        "torch.load('x')",
        "exec('1')",
        "@net.forward",
        "max(*[1, 2])",
        "int(x='1')",
        "'a' * 10**9",
        "9 ** 9",
        "[0] * 100000",
        "list(range(10**12))",
        "1 << 70",
        "10000000 * 10000000 * 10000000",
        "b'a'",
        "...",
        "{**{}}",
        "unknown",
        "1 +",
        "range(3)[unknown]",
        "(lambda: 1)()",
        "monai.utils.set_determinism(seed=1)",
        "1 / 0",
        "{}['a']",
        "x := 1",
        "[1, 2][9]",
        "int('a')",
        "round(1, -10000000)",
        "round(1.5, 1000)",
        "{'a' * 600000: 1, 'b' * 600000: 2}",
        "await x",
        "str(range)",
        "-'a'",
        "1 if",
        "a" * 5000,
        "(" * 500 + ")" * 500,
        "[[[" * 200,
    ],
)
def test_everything_else_is_code_and_is_not_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotPlainError):
        evaluate(text, lambda _: {"a": 1}, Work())
    found = config(tmp_path, {"net": {"_target_": "UNet"}, "a": f"${text}", "b": "$@a"})
    assert isinstance(found.resolve("a"), Code)
    assert isinstance(found.resolve("b"), Code)
    assert {path.name for path in tmp_path.iterdir()} == {"configs"}


def test_components_are_named_chosen_and_put_into_lists(tmp_path: Path) -> None:
    read = config(
        tmp_path,
        {
            "a": [{"_target_": "X"}],
            "b": [{"_target_": "Y"}, "$f(1)"],
            "fast": False,
            "both": "$@a + @b",
            "one": "$@b[0]",
            "chosen": "$@a if @fast else @b",
            "list": "$[@a, 3]",
            "image": "$monai.utils.CommonKeys.IMAGE",
        },
    )
    (x,), (y, code) = read.resolve("a"), read.resolve("b")
    assert read.resolve("both") == [x, y, code]
    assert isinstance(code, Code)
    assert (read.resolve("one"), read.resolve("chosen"), read.resolve("list"), read.resolve("image")) == (
        y,
        [y, code],
        [[x], 3],
        "image",
    )


@pytest.mark.parametrize(
    "text",
    [
        "len(@net)",
        "@net == 1",
        "-@net",
        "1 if @net else 2",
        "str(@net)",
        "@net or 1",
        "@net + 1",
        "@list * 2",
        "1 in @list",
        "(@net, 1) + (2,)",
        "not @net",
        "{'a': 1}[@net]",
        "[1][@net]",
        "@net[0]",
    ],
)
def test_nothing_is_computed_with_a_component(text: str, tmp_path: Path) -> None:
    read = config(tmp_path, {"net": {"_target_": "UNet"}, "list": ["@net"], "a": f"${text}"})
    assert isinstance(read.resolve("a"), Code)


def test_code_is_found_wherever_it_stands(tmp_path: Path) -> None:
    read = config(
        tmp_path,
        {
            "a": {"_target_": "X", "y": [{"z": "$f(1)"}]},
            "b": {"_target_": "SaveImaged", "y": "$g(1)"},
            "c": ["@a", "@b", "@a"],
        },
    )
    assert {one.where for one in parts_of(read.resolve("c")) if isinstance(one, Code)} == {"a#y#0#z", "b#y"}
    assert [
        one.where for one in parts_of(read.resolve("c"), without=("SaveImaged",)) if isinstance(one, Code)
    ] == ["a#y#0#z"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"a": "@b", "b": "@a"}, "refers to itself"),
        ({"a": "$@a + 1"}, "refers to itself"),
        ({"a": {"b": "@a"}}, "refers to itself"),
        ({"a": "@missing#x"}, 'there is no "missing#x"'),
        ({"a": "@b#5", "b": [1]}, 'there is no "b#5"'),
        ("[1, 2]", "no named entries"),
        ('{"a": 1, "a": 2}', "occurs twice"),
        ('{"a": ', "not readable JSON"),
        ("[" * 100_000, "not readable JSON"),
        (json.dumps({"a": [0] * 60_000}), "more than"),
        (json.dumps({"a": "x" * 2_000_000}), "more than"),
        ({"a": "@b#\u00b2", "b": [0, 1, 2]}, "there is no"),
        ({"a": {"x" * 300: 1}}, "at most 200 characters"),
        ({"a": "%b\0.json"}, r"names 'b\\x00.json', which cannot be a file"),
        ({"a": f"%{'x' * 300}.json"}, "cannot be a file"),
    ],
)
def test_damaged_configs_are_reported_in_a_sentence(content: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=sentence):
        config(tmp_path, content).resolve("a")


def test_bombs_are_not_followed(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 2]"] + [
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 21)
    ]
    for text in (
        "\n".join(lines),
        "a: &a [*a]",
        "? [1, 2]\n: 3",
        "a: !!python/object/apply:os.system ['true']",
    ):
        with pytest.raises(BundleError):
            config(tmp_path, text, "inference.yaml")


def nested(levels: int, times: int, first: Any) -> dict[str, Any]:
    """Entries r0 ... that each refer `times` times to the one before: times**levels of `first`, followed
    naively.
    """
    return {f"r{n}": [f"@r{n - 1}" if n else first] * times for n in range(levels)}


def test_bombs_of_references_are_refused_before_anything_walks_them(tmp_path: Path) -> None:
    assert len(config(tmp_path, nested(4, 10, 1)).resolve("r3")) == 10  # 10,000 entries
    for entries in (nested(16, 10, {"_target_": "Identityd"}), nested(16, 10, 1), nested(4, 10, "x" * 2000)):
        with pytest.raises(BundleError, match=r"more than 50000 entries .* once its references are followed"):
            config(tmp_path, entries).resolve(max(entries, key=lambda name: int(name[1:])))
    deep: dict[str, Any] = {
        f"r{n}": [f"@r{n - 1}" if n else 1] for n in range(60)
    }  # each of them asked for alone, so never far to go
    read = config(tmp_path, deep)
    for n in range(40):
        read.resolve(f"r{n}")
    with pytest.raises(BundleError, match="nested more than 40 deep once its references"):
        read.resolve("r40")
    read = config(tmp_path, {**nested(9, 3, 1), "e": "$str(@r8)"})  # 30,000 entries
    assert isinstance(read.resolve("e"), Code)
    assert list(parts_of(read.resolve("r8"))) == []


def test_bombs_of_yaml_merges_and_of_replaced_parts_are_not_followed(tmp_path: Path) -> None:
    merged = ["a0: &a0 {x: 1, y: 2}"] + [
        f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]\n  y: {n}" for n in range(1, 60)
    ]
    assert config(tmp_path, "\n".join(merged), "inference.yaml").resolve("a59") == {"x": 1, "y": 59}
    replaced = [f"r{n}: &r{n} {{x: 1}}" for n in range(30)] + [
        f"r{n}#{name}: *r{n + 1}" for n in range(29) for name in "abcd"
    ]
    with pytest.raises(BundleError, match="once its aliases are followed"):
        config(tmp_path, "\n".join(replaced), "inference.yaml")
    with pytest.raises(BundleError, match=r"an entry whose name is not a text \(1\)"):
        config(tmp_path, "1: 2\na: 3\n", "inference.yaml")


def test_the_expressions_of_a_config_share_what_they_may_take(tmp_path: Path) -> None:
    hungry = {
        "big": [0] * 4000,
        "many": [f"$[{','.join(['len(@big)'] * 390)}]"] * 100,
    }  # 300 million entries to look at, in 400 kB
    with at_most(5):
        found = config(tmp_path, hungry).resolve("many")
    assert isinstance(found[-1], Code)
    assert "take longer than those of any real config" in found[-1].why
    honest = {
        "one": 1,
        **{f"n{n}": f"$@one + {n}" for n in range(2000)},
        "all": [f"@n{n}" for n in range(2000)],
    }  # 50 kB
    assert config(tmp_path, honest).resolve("all") == list(range(1, 2001))


def test_a_file_that_macros_name_often_is_read_once_and_its_copies_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config(tmp_path, {"a": [0] * 20_000, "b": 1}, "big.json")
    read: list[str] = []
    monkeypatch.setattr(
        "ctseg_models.bundles.monai.config.reader.read_plain",
        lambda path: read.append(path.name) or read_plain(path),
    )
    assert config(tmp_path, {"x": ["%big.json#b", "%configs/big.json#b", "%big.json#a"]}).resolve("x")[
        :2
    ] == [1, 1]
    assert read == ["inference.json", "big.json"]
    with pytest.raises(BundleError, match="more than 50000 entries"):
        config(tmp_path, {"x": ["%big.json#a"] * 3})


def test_a_file_of_200_mb_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(BundleError, match="200 MB is far more"):
        read_plain(path)
