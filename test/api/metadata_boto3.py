"""What botocore finds out from the metadata service at AWS_EC2_METADATA_SERVICE_ENDPOINT: the region, and no role."""
import json
import os

import botocore.session
from botocore.utils import IMDSFetcher, IMDSRegionProvider

session = botocore.session.Session()
endpoint = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
fetcher = IMDSFetcher(timeout=30, num_attempts=1, config={"ec2_metadata_service_endpoint": endpoint})
answer = fetcher._get_request("latest/meta-data/instance-id", None, token=fetcher._fetch_metadata_token())
print(
    json.dumps(
        {
            "region": IMDSRegionProvider(session).provide(),
            "credentials": session.get_component("credential_provider").get_provider("iam-role").load(),
            "instanceId": answer.text,
        }
    )
)
