"""The corpus on real dbt where one node fails: what our retry executes is what `dbt retry` executes."""

from __future__ import annotations

import pytest
from tests.support.corpus import Shop
from tests.support.corpus_rows import ONE_NODE, check_retry


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("corpus"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("failure", "command"), ONE_NODE)
def test_the_retry_executes_what_dbt_retry_executes(shop: Shop, failure: str, command: str) -> None:
    check_retry(shop, failure, command)
