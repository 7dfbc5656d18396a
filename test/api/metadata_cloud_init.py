"""What cloud-init's own data source crawls from a metadata service, and the network that it makes of it. Runs with the
modules of the Debian package on PYTHONPATH. User data is printed in base64."""
import base64
import json
import sys

from cloudinit import helpers
from cloudinit.sources import DataSourceEc2

url, folder = sys.argv[1:]
source = DataSourceEc2.DataSourceEc2({}, None, helpers.Paths({"cloud_dir": folder, "run_dir": folder}))
source.ds_cfg = {"metadata_urls": [url], "max_wait": 10, "timeout": 5}
# On an instance this is read from the machine's SMBIOS.
source._cloud_name = DataSourceEc2.CloudNames.AWS
crawled = source.crawl_metadata()
crawled["user-data"] = base64.b64encode(crawled["user-data"]).decode()
nics = {mac: "eth0" for mac in crawled["meta-data"]["network"]["interfaces"]["macs"]}
network = DataSourceEc2.convert_ec2_metadata_network_config(crawled["meta-data"]["network"], nics, "eth0")
print(json.dumps({"crawled": crawled, "network": network}))
