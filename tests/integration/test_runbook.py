"""The runbook's way back from a restored table, on a real DynamoDB API."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lambdas.adapters.table import Table
from lambdas.domain.identifiers import BusinessId, ConnectionId, UserId
from lambdas.domain.model import Attention, Business, RealConnection, Settings, VirtualConnection
from tests.dynamodb import create_table
from tests.runbook import blocks

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

NOW = int(time.time())
LOST, KEPT, DAMAGED = BusinessId("lost"), BusinessId("kept"), BusinessId("damaged")
USER = UserId("u1")


def test_what_is_missing_or_damaged_comes_back_and_nothing_else_changes(
    ministack: "DynamoDBClient", ministack_url: str, tmp_path: Path
) -> None:
    live, restored = create_table(ministack), create_table(ministack)
    before, now = Table(ministack, restored), Table(ministack, live)
    for business in (LOST, KEPT, DAMAGED):
        _declare(before, business, accepting=True, lease=NOW + 3600)
        _connect(before, business)
    before.write_attention(
        before.load(LOST), Attention.VIRTUAL_ONLY, since=NOW - 999, reported=True
    )
    _declare(before, BusinessId("ended"), accepting=True, lease=NOW - 1)
    _declare(now, KEPT, accepting=False)
    _declare(now, DAMAGED, accepting=False)

    first = _bring_back(ministack_url, tmp_path, live, restored)
    kept = now.load(KEPT)
    second = _bring_back(ministack_url, tmp_path, live, restored, DAMAGED)

    assert first == "2 businesses brought back\n"
    assert second == "1 businesses brought back\n"
    for business in (LOST, DAMAGED):
        back = now.load(business)
        assert back.settings is not None
        assert back.settings.available
        assert back.settings.version >= NOW
        assert [lease.expires_at for lease in back.virtual] == [NOW + 3600]
        assert back.real == ()
    assert now.load(LOST).settings == _without_attention(before.load(LOST), now.load(LOST))
    assert now.load(BusinessId("ended")).virtual == ()
    assert kept.settings is not None
    assert not kept.settings.available
    assert now.load(KEPT) == kept


def _declare(table: Table, business: BusinessId, *, accepting: bool, lease: int = 0) -> None:
    settings = Settings(available=accepting, version=1, updated_at=NOW, updated_by=USER)
    connection = VirtualConnection(business, USER, created_at=NOW, renewed_at=NOW, expires_at=lease)
    table.write_settings(table.load(business), settings, put=[connection] if accepting else [])


def _connect(table: Table, business: BusinessId) -> None:
    table.add_real(
        RealConnection(
            business_id=business,
            connection_id=ConnectionId(f"{business}="),
            user_id=USER,
            connected_at=NOW,
            last_seen_at=NOW,
            expires_at=NOW + 3600,
        )
    )


def _without_attention(before: Business, after: Business) -> Settings:
    assert before.settings is not None
    assert after.settings is not None
    return Settings(
        available=before.settings.available,
        version=after.settings.version,
        updated_at=before.settings.updated_at,
        updated_by=before.settings.updated_by,
    )


def _bring_back(url: str, folder: Path, *arguments: str) -> str:
    (text,) = blocks("python")
    script = folder / "bring_back.py"
    script.write_text(text)
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    ran = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
