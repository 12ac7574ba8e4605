from __future__ import annotations

import pytest

from layerkit.errors import UsageError
from layerkit.publish.names import LayerArn, NameForm, check_template, description, digest_in, layer_name

WORDS = {
    "py": "py312",
    "runtime": "python3.12",
    "project": "zope.shop",
    "version": "1.0.dev3",
    "layer": "web",
    "arch": "x86_64",
}


def test_a_name_is_the_zips_with_dots_as_dashes() -> None:
    assert layer_name(None, WORDS) == "py312-zope-shop-1-0-dev3-web"
    assert layer_name(None, WORDS | {"arch": "arm64"}) == "py312-zope-shop-1-0-dev3-web-arm64"
    assert layer_name("{project}.{layer}.{arch}.{runtime}", WORDS) == "zope-shop-web-x86_64-python3-12"


@pytest.mark.parametrize("template", ["a b", "{layer}+", "é", "", "x" * 141])
def test_names_that_lambda_refuses(template: str) -> None:
    words = WORDS if template else WORDS | {"version": "1+local"}
    with pytest.raises(UsageError, match="is no name for Lambda"):
        layer_name(template or None, words)


@pytest.mark.parametrize("template", ["{py!r}", "{py:>9}", "{}", "{0}", "{py.x}", "}", "{", "{sha256}"])
def test_templates_that_mean_nothing(template: str) -> None:
    with pytest.raises(UsageError, match="template"):
        check_template(template, ("py",), "here")


def test_a_description_leaves_packages_out_until_it_fits() -> None:
    packages = [f"package-{number}==1.{number}" for number in range(40)]
    words = WORDS | {"sha256": "a" * 64, "manifest": "b" * 16, "unzipped": "5"}
    text = description(None, words, packages)
    assert len(text) <= 256
    digests = f"sha256:{'a' * 64} manifest:{'b' * 16}"
    assert text.startswith(f"zope.shop 1.0.dev3 web {digests} package-0==1.0 package-1==1.1")
    assert digest_in(text) == "a" * 64
    assert text.endswith(" ...")
    assert description(None, words, packages[:1]).endswith("package-0==1.0")
    assert description("{unzipped} {runtime}", words, packages) == "5 python3.12"
    assert description("x" * 250 + "{packages}", words, packages) == "x" * 250 + " ..."
    assert description("x" * 256 + "{packages}", words, packages) == "x" * 256


def test_the_digest_in_a_description() -> None:
    assert digest_in(f"sha256:{'a' * 64} and more") == "a" * 64
    assert digest_in("a" * 65) is digest_in("nothing") is digest_in(f"{'a' * 64} {'b' * 64}") is None


def test_the_parts_of_an_arn() -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:py312-web:7"
    found = LayerArn.parse(arn)
    assert found == LayerArn(
        partition="aws", region="eu-west-1", account="123456789012", name="py312-web", version=7
    )
    bare = LayerArn.parse(arn.removesuffix(":7"))
    assert bare is not None
    assert bare.version is None
    assert LayerArn.parse("arn:aws:lambda:eu-west-1:123456789012:function:web") is None
    assert LayerArn.parse("arn:aws-cn:lambda:cn-north-1:123456789012:layer:x:1") is not None


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("py312-shop-1-0-web", "py312-shop-*-web"),
        ("py39-shop-2024-1-1rc2-web", "py39-shop-*-web"),
        ("py312-shop-1-0-post1-web", "py312-shop-*-web"),
        ("py312-shop-1-0-web-arm64", "py312-shop-*-web-arm64"),
        ("py312-shop-1-0-2-fast", "py312-shop-*-2-fast"),  # a layer of today whose name begins with a number
        ("py312-shop-1-0-gone", "py312-shop-*-gone"),  # a layer of yesterday
        ("py312-shop-main-web", "py312-shop-*-web"),  # the version of today, whatever it is
        ("py312-shop-other-web", None),
        ("py312-shop-extra-1-0-web", None),  # of the project shop-extra
        ("py312-bookshop-1-0-web", None),
        ("x-py312-shop-1-0-web", None),
        ("py312-shop-1-0", None),
        ("python3-12-shop-1-0-web", None),
    ],
)
def test_names_of_the_project_whatever_their_version(name: str, series: str | None) -> None:
    assert NameForm(None, "shop", "main", ["web", "2-fast"]).series(name) == series


def test_names_by_a_template_of_the_users_own() -> None:
    form = NameForm("{project}_{layer}_{project}_{arch}", "my.shop", "1", ["web"])
    assert form.series("my-shop_web_my-shop_arm64") == "my-shop_web_my-shop_arm64"
    assert form.series("my-shop_web_your-shop_arm64") is None
