"""What SQL Server, Azure SQL, Synapse and Fabric say: an SQL state and a number, `[40001] … (1205) (SQLExecDirectW)`.

The state `42000` says nothing: ODBC uses it for wrong SQL and for deadlocks alike, so the number decides.
"""

from __future__ import annotations

from functools import partial

from dbt_cloud_run.dbt.failure_patterns.row import DATABASE, REPORTS, SQLSERVER, either, row
from dbt_cloud_run.planned import Retryability

_NUMBERS = "Microsoft's list of Database Engine errors"
_ODBC = "the SQL states of ODBC"

_passing = partial(row, SQLSERVER, verdict=Retryability.TRANSIENT, source=_NUMBERS)
_unsure = partial(row, SQLSERVER, verdict=Retryability.UNKNOWN, source=_NUMBERS)
_sure = partial(row, SQLSERVER, verdict=Retryability.DETERMINISTIC, source=_NUMBERS)

_LOGIN = "Database Error\n  "
_DRIVER = "[Microsoft][ODBC Driver 18 for SQL Server]"


def _numbers(numbers: str) -> str:
    """A number after the server's message, as pyodbc writes it."""
    return rf"\[sql server\][^\n]{{0,600}}\({numbers}\)(?: \(sql|; \[|['\"]\))"


FIRST = (
    _passing(
        _numbers(either("1204 1205 1222 3958 3960 3961 601 615 5030 24556 24706 41301 41302 41305 41325 41839 2714"))
        + r"|\bin object 'sys\.",
        reason="another transaction was in the way",
        example=DATABASE + f"('40001', '[40001] {_DRIVER}[SQL Server]Transaction (Process ID 55) was deadlocked on "
        "lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction. "
        "(1205) (SQLExecDirectW)')",
    ),
    _passing(
        _numbers(
            either(
                "10928 10929 10936 40197 40501 40613 49918 49919 49920 4221 14355 18401 18451 17197 17809 952 976 "
                "978 983 988 42108 42109 4014 40143 40166 40540"
            )
        ),
        reason="the database was not up, or too busy",
        example=_LOGIN + f"('HY000', \"[HY000] {_DRIVER}[SQL Server]Database 'shop' on server 'shop' is not currently "
        'available.  Please retry the connection later. (40613) (SQLDriverConnect)")',
    ),
    _passing(
        r"\[(?:08(?:00[1-7]|s01)|hyt0[01]|40001)\] ?\[",
        reason="the SQL state says that the connection was lost, or another transaction was in the way",
        example=_LOGIN + f"('08S01', '[08S01] {_DRIVER}TCP Provider: Error code 0x2746 (10054) (SQLExecDirectW)')",
        source=_ODBC,
    ),
    _unsure(
        _numbers(
            either("701 802 8623 8628 8645 8651 1101 1105 9002 40544 40549 40550 40551 40552 40553 3930 3701 4060")
        )
        # `sp_rename` says so when another statement renames the same object.
        + r"|@objname is ambiguous|\(152(?:25|48)\)"
        + r"|login failed for user '(?:<token-identified principal>|nt authority\\{1,2}anonymous logon)'",
        reason="the load of the hour or the query itself was too much, or the database was not known at log-in",
        example=_LOGIN + f"('28000', \"[28000] {_DRIVER}[SQL Server]Login failed for user '<token-identified "
        "principal>'. (18456) (SQLDriverConnect)\")",
    ),
)

REFUSED = (
    _sure(
        _numbers(
            r"(?:1\d\d|20[1-7]|209|21[0-7]|306|313|319|33[45]|4[0-5]\d|468|10[0-4]\d|41\d\d|8120|8127|815[5-9]|8167)"
        ),
        reason="the SQL is wrong",
        example=DATABASE + f"('42S22', \"[42S22] {_DRIVER}[SQL Server]Invalid column name 'timeout'. (207) "
        '(SQLExecDirectW)")',
    ),
    _sure(
        _numbers(either("208 911 1088 2812 15151 2706 4902 3728 7202 2760")) + r"|\[42s[012]2\] ?\[",
        reason="an object does not exist, or the user may not see it",
        example=DATABASE + f"('42S02', \"[42S02] {_DRIVER}[SQL Server]Invalid object name 'raw.orders'. (208) "
        '(SQLExecDirectW)")',
    ),
    _sure(
        _numbers(either("229 230 262 297 300 916 15247 18456 18470 18487 18488"))
        # Entra ID: a wrong or expired secret, an application or a tenant that does not exist.
        + r"|\baadsts(?:7000215|7000222|700016|90002)\b",
        reason="the server does not let this user in, or the user lacks a permission",
        example=_LOGIN + f"('28000', \"[28000] {_DRIVER}[SQL Server]Login failed for user 'dbt'. (18456) "
        '(SQLDriverConnect)")',
    ),
    _sure(
        _numbers(
            either(
                "220 232 235 241 242 244 245 248 257 264 512 515 517 529 547 2601 2627 2628 8114 8115 8134 8152 8169 "
                "8178 8672 9803 13608 13609"
            )
        )
        + r"|\[2[123][0-9a-z]{3}\] ?\[",
        reason="the data does not fit",
        example=DATABASE + f"('22018', \"[22018] {_DRIVER}[SQL Server]Conversion failed when converting the varchar "
        "value 'n/a' to data type int. (245) (SQLExecDirectW)\")",
    ),
    _sure(
        _numbers(
            either(
                "2705 2715 2716 2717 3729 4502 4506 4508 4511 4701 4924 5074 8101 8102 8106 8117 8121 8124 8144 8145 "
                "8146 8161 1505 1750 1785 1911 1913 15135 103010 104385 15871 15816 24559 24584"
            )
        )
        + r"|\bis not a supported (?:statement|data type)\b|\bis not supported in this (?:edition|version)\b"
        + r"|\bthe data type '[^'\n]{1,100}' is not supported\b",
        reason="the server cannot do this",
        example=DATABASE + f"('42000', \"[42000] {_DRIVER}[SQL Server]Cannot update identity column 'amount'. (8102) "
        '(SQLExecDirectW)")',
    ),
    _sure(
        r"\binvalid (?:object|column) name '|\bcould not find stored procedure '"
        r"|\bnon-boolean type specified in a context",
        reason="an object or column does not exist, or the SQL is wrong",
        example=DATABASE + "Driver Error: Base table or view not found; DDBC Error: [Microsoft][SQL Server]Invalid "
        "object name 'raw.orders'.",
        source=REPORTS,
    ),
    _sure(
        r"\[im002\] ?\[|\bcan't open lib '[^'\n]{1,200}' : file not found|\bno default driver specified",
        reason="the ODBC driver is not set up",
        example=_LOGIN + "('IM002', '[IM002] [unixODBC][Driver Manager]Data source name not found and no default "
        "driver specified (0) (SQLDriverConnect)')",
        source=_ODBC,
    ),
)

LAST = (
    _passing(
        r"\bnetwork-related or instance-specific error\b|\btransport-level error\b|\bactively refused\b"
        r"|\bforcibly closed by the remote host\b|\bcommunication link failure\b|\bsemaphore timeout\b"
        r"|\bsnapshot isolation transaction (?:failed|aborted)",
        reason="the connection broke, or another transaction was in the way",
        example=DATABASE + "Driver Error: Serialization failure; DDBC Error: [Microsoft][SQL Server]Snapshot isolation "
        "transaction aborted due to update conflict.",
        source=REPORTS,
    ),
)
