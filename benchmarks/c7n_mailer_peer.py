"""c7n-mailer on the same input; run by the interpreter of an environment that has it.

It is given what a policy of Cloud Custodian sends for each event: one message about one user, whose
address is in their ``email`` tag. Its own default template is used.
"""

import argparse
import base64
import json
import logging
import time
import zlib
from importlib.metadata import version
from pathlib import Path

import boto3
import c7n_mailer
from c7n_mailer.email_delivery import (
    EmailDelivery,
)
from c7n_mailer.sqs_queue_processor import (
    MailerSqsQueueProcessor,
)

ACCOUNT = "123456789012"
REGION = "us-east-1"


def message(name: str) -> dict[str, object]:
    """Return what Cloud Custodian's notify action sends."""
    action = {
        "type": "notify",
        "to": ["resource-owner"],
        "subject": "Console access without MFA",
        "template": "default.html",
        "transport": {"type": "sqs", "queue": "q"},
    }
    user = {
        "UserName": name,
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "UserId": f"AIDA{name}",
        "CreateDate": "2026-01-01T00:00:00+00:00",
        "Tags": [{"Key": "email", "Value": f"{name}@example.com"}],
    }
    return {
        "event": None,
        "account_id": ACCOUNT,
        "account": "bench",
        "region": REGION,
        "policy": {
            "name": "no-mfa",
            "resource": "aws.iam-user",
            "filters": [],
            "actions": [action],
        },
        "action": action,
        "resources": [user],
    }


def main() -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("users", type=int)
    asked = parser.parse_args()
    messages = [message(f"user{number}") for number in range(asked.users)]
    session = boto3.Session(region_name=REGION)
    queue = f"{asked.endpoint}/{ACCOUNT}/queue"
    config = {
        "queue_url": queue,
        "from_address": "mfa@example.com",
        "region": REGION,
        "ses_region": REGION,
        "contact_tags": ["email"],
        "endpoint_url": asked.endpoint,
        "templates_folders": [str(Path(c7n_mailer.__file__).parent / "msg-templates")],
    }
    log = logging.getLogger("mailer")
    log.addHandler(logging.NullHandler())

    # Kinder than the mailer itself, which makes such an object for each message.
    delivery = EmailDelivery(config, session, log)
    began = time.perf_counter()
    for one in messages:
        delivery.send_c7n_email(one)
    handing = time.perf_counter() - began

    sqs = session.client("sqs", endpoint_url=asked.endpoint)

    def deliver() -> float:
        for one in messages:
            sqs.send_message(
                QueueUrl=queue,
                MessageBody=base64.b64encode(zlib.compress(json.dumps(one).encode())).decode(),
                MessageAttributes={"mtype": {"DataType": "String", "StringValue": "maidmsg/1.0"}},
            )
        began = time.perf_counter()
        MailerSqsQueueProcessor(config, session, log).run(parallel=False)
        return time.perf_counter() - began

    took = [deliver(), deliver()]
    found = {"version": version("c7n_mailer"), "handing_s": handing, "whole_s": took[0]}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
