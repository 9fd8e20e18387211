"""Ships the lines of standard input as log records, with the OpenTelemetry SDK and its own exporter.

ship.py http|grpc ENDPOINT TOKEN
"""

import sys
import time
import uuid

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

protocol, endpoint, token = sys.argv[1:]
# The exporter gives a batch up after this time, and the SDK then drops it: longer than Docket may be away.
SECONDS = 120
if protocol == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    headers = {"Authorization": f"Bearer {token}"}
    exporter = OTLPLogExporter(endpoint, headers=headers, timeout=SECONDS, compression=Compression.Gzip)
else:
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    headers = {"authorization": f"Bearer {token}"}
    exporter = OTLPLogExporter(endpoint, insecure=True, headers=headers, timeout=SECONDS)

provider = LoggerProvider(resource=Resource.create({"service.name": "ship"}))
# A queue that is full drops the oldest.
provider.add_log_record_processor(
    BatchLogRecordProcessor(exporter, schedule_delay_millis=200, max_queue_size=20_000, max_export_batch_size=500)
)
logger = provider.get_logger("ship")
for line in sys.stdin:
    record = LogRecord(
        timestamp=time.time_ns(),
        severity_number=SeverityNumber.INFO,
        body=line.rstrip("\n"),
        # By this Docket knows a record that is sent again.
        attributes={"log.record.uid": str(uuid.uuid4())},
    )
    logger.emit(record)
if not provider.force_flush(SECONDS * 1000):
    sys.exit("not all of it was sent")
provider.shutdown()
