"""Runs boto3's own waiters, or its paginators, for every operation that is served.

Usage: waiters_and_paginators.py JSON, as test/support/boto3.ts writes it. Prints {"ran": COUNT, "failures": [TEXT, ...]}.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.exceptions
from botocore import xform_name
from botocore.config import Config

asked = json.loads(sys.argv[1])
# Without an endpoint of its own a pricing client would ask one of AWS's.
clients = {
    service: boto3.client(
        service,
        region_name=asked["region"],
        endpoint_url=asked["url"],
        aws_access_key_id=asked["account"],
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=64, s3={"addressing_style": "path"}),
    )
    for service in asked["served"]
}


def served_paginators():
    """Names (`SERVICE.OPERATION`) with the paginator of each."""
    for service, client in clients.items():
        for method, operation in client.meta.method_to_api_mapping.items():
            if operation in asked["served"][service] and client.can_paginate(method):
                yield f"{service}.{operation}", client.get_paginator(method)


def served_waiters():
    """Names (`SERVICE.STATE_IN_SNAKE_CASE`) with the waiter of each."""
    for service, client in clients.items():
        for state in client.waiter_names:
            waiter = client.get_waiter(state)
            if waiter.config.operation in asked["served"][service]:
                yield f"{service}.{state}", waiter


def listed_on(page):
    """What a page lists, as texts. Tokens of blocks differ from one answer to the next."""
    without_tokens = lambda item: (
        {name: value for name, value in item.items() if not name.endswith("Token")} if isinstance(item, dict) else item
    )
    lists = [value for value in page.values() if isinstance(value, list)]
    return [json.dumps(without_tokens(item), default=str, sort_keys=True) for items in lists for item in items]


def paginate(paginator, row):
    whole = [item for page in paginator.paginate(**row["input"]) for item in listed_on(page)]
    config = {"PageSize": row["pageSize"]}
    pages = [listed_on(page) for page in paginator.paginate(**row["input"], PaginationConfig=config)]
    union = [item for page in pages for item in page]
    assert sorted(union) == sorted(whole), "the pages bring something else than the whole list"
    assert len(set(whole)) == len(whole), "something is listed twice"
    assert max(map(len, pages)) <= row["pageSize"], "a page is too long"
    assert (len(pages) == 1) == row["isOnePage"], f"{len(pages)} pages"


def wait(waiter, row):
    attempts = 2 if row["isNever"] else 400
    try:
        waiter.wait(**row["input"], WaiterConfig={"Delay": 0.2, "MaxAttempts": attempts})
    except botocore.exceptions.WaiterError as error:
        if not (row["isNever"] and "Max attempts exceeded" in str(error)):
            raise
    else:
        assert not row["isNever"], "it came to an end"


def attempt(act, subject, name, row):
    """None, or what went wrong."""
    if row is None:
        return f"{name} has no row"
    try:
        act(subject, row)
    except Exception as error:
        return f"{name}: {error}"
    return None


def snake(name):
    service, state = name.split(".")
    return f"{service}.{xform_name(state)}"


if "waiters" in asked:
    rows = {snake(row["name"]): row for row in asked["waiters"]}
    subjects, act = dict(served_waiters()), wait
else:
    rows = {row["name"]: row for row in asked["paginators"]}
    subjects, act = dict(served_paginators()), paginate

with ThreadPoolExecutor(max_workers=16) as threads:
    results = list(threads.map(lambda name: attempt(act, subjects[name], name, rows.get(name)), subjects))
print(json.dumps({"ran": len(results), "failures": [text for text in results if text is not None]}))
