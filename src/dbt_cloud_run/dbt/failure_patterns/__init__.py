"""The table of failure messages. The first row that is found decides, so the order is the precedence:

1. what dbt itself says, which begins with its own words (`Compilation Error`), whatever is quoted after them;
2. conflicts and limits that name themselves (`rateLimitExceeded`, `deadlock detected`, `token has expired`), because
   they come wrapped in words of the next group (`403 Forbidden`, `authentication`);
3. what a warehouse refuses every time: wrong SQL, missing or forbidden objects, data that does not fit. It comes
   before the general wordings of the last group because such messages quote the user's own names (a column `timeout`);
4. what may be either, and is said to be unknown rather than guessed;
5. the general wordings of networks and servers;
6. a template that could not be rendered, which may quote any of the above.
"""

from __future__ import annotations

from dbt_cloud_run.dbt.failure_patterns.dbt import DBT, RENDERING
from dbt_cloud_run.dbt.failure_patterns.deterministic import DETERMINISTIC
from dbt_cloud_run.dbt.failure_patterns.row import Pattern
from dbt_cloud_run.dbt.failure_patterns.transient import CONFLICTS, NETWORK
from dbt_cloud_run.dbt.failure_patterns.undecided import UNDECIDED

__all__ = ["TABLE", "Pattern"]

TABLE: tuple[Pattern, ...] = (*DBT, *CONFLICTS, *DETERMINISTIC, *UNDECIDED, *NETWORK, *RENDERING)
